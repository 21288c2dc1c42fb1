"""Names that a module of canvas finds when they are used, under the name of Celery's module."""

import subprocess
import sys

PROGRAM = """
import canvas.as_celery
from celery.worker import state

print([getattr(state, name) for name in ("active_requests", "reserved_requests", "scheduled_requests", "requests")])
print(type(state.total_count).__name__, state.all_total_count)
print(state.reset_state.__class__.__name__)
try:
    state.task_accepted_now
except AttributeError as exc:
    print(exc)
"""


def test_those_of_the_state_of_a_worker():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=True)
    live, counts, inside, missing = done.stdout.splitlines()
    assert live == "[[], [], [], {}]"
    assert counts == "Counter [0]"
    assert inside == "StandIn"
    assert "use signals" in missing
