import json
import time

import steps
from celery.exceptions import TimeLimitExceeded

assert steps.slow.delay().get(timeout=30) == "was told"
assert steps.flaky.delay().get(timeout=30) == "flaky is done"
assert steps.running.delay().get(timeout=30) == ["steps.running"]
for task, error in ((steps.fails, ValueError), (steps.too_slow, TimeLimitExceeded)):
    try:
        task.delay().get(timeout=30)
    except error:
        continue
    raise AssertionError(task.name)


def counted():
    (answer,) = steps.app.control.broadcast("counts", reply=True, timeout=30, limit=1)
    (counts,) = answer.values()
    return counts


# The tasks of a process that its time limit has ended are counted once the worker has noticed.
deadline = time.monotonic() + 30
while (counts := counted())["total"] < 6 and time.monotonic() < deadline:
    time.sleep(0.05)
print(json.dumps(counts))
