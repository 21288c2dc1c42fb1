"""Error trackers and tracers of Celery: the names that they import, and what their receivers of signals read."""

import json
import subprocess
import sys

PROGRAM = """
import canvas.as_celery
from billiard.einfo import ExceptionInfo, ExceptionWithTraceback
from celery import Celery, registry
from celery.signals import task_failure

app = Celery("instrumented", broker="memory://", backend="memory://")
seen = []

@app.task(name="broken")
def broken():
    raise KeyError("no")

@task_failure.connect
def failed(einfo=None, **_):
    seen.extend([isinstance(einfo, ExceptionInfo), isinstance(einfo.exception, ExceptionWithTraceback)])
    seen.extend([repr(einfo.exception.exc), einfo.type.__name__, "KeyError" in str(einfo)])

broken.apply()
print(registry.tasks["broken"] is app.tasks["broken"], *seen)
"""


def test_what_an_instrumentation_needs():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("True True True KeyError('no') KeyError True\n", "")


WORKER = """
import json, sys
from celery import Celery, current_task
from celery.contrib.testing.worker import start_worker
from celery.signals import before_task_publish, task_failure, task_postrun, task_prerun, task_retry

app = Celery("traced", broker="memory://", backend="cache+memory://")
seen = []

def handled():
    kind, exc, frames = sys.exc_info()
    return [kind and kind.__name__, str(exc), frames is not None]

class Base(app.Task):
    def on_failure(self, exc, task_id, args, kwargs, einfo):
        seen.append(["on_failure", *handled()])
    def after_return(self, *facts):
        seen.append(["after_return", *handled()])

@app.task(name="broken", base=Base)
def broken(x):
    "It fails."
    try:
        raise KeyError("first")
    except KeyError:
        raise ValueError(x)

@app.task(name="again", bind=True, max_retries=1)
def again(self):
    if not self.request.retries:
        raise self.retry(countdown=0)

@before_task_publish.connect
def carry(headers=None, **_):
    headers.setdefault("headers", {})["trace"] = "t1"

@task_prerun.connect
def starts(task=None, **_):
    found = vars(task.request)
    seen.append(["starts", found["task"], list(found["args"]), found["retries"], task.request.headers, task.request.get("trace"),
                 found["delivery_info"]["routing_key"], current_task.__module__, current_task.__doc__])

@task_failure.connect
def failed(exception=None, **_):
    seen.append(["failed", *handled(), repr(exception.__context__)])

@task_retry.connect
def tried(reason=None, **_):
    seen.append(["tried", *handled()])

@task_postrun.connect
def ended(**_):
    seen.append(["ended", *handled()])

broken.apply((1,))
with start_worker(app, perform_ping_check=False, pool="solo"):
    broken.delay(2).get(propagate=False, timeout=20)
    again.delay().get(timeout=20)
print(json.dumps(seen))
"""


NOTHING = [None, "None", False]
"""What ``sys.exc_info()`` has where no exception is handled."""


def run_of(name, args, told, retries=0, headers=None, trace=None):
    """What the receivers of one run of a task read."""
    queue = headers and "celery"
    start = [
        "starts",
        name,
        args,
        retries,
        headers,
        trace,
        queue,
        "__main__",
        "It fails." if name == "broken" else None,
    ]
    return [start, *told, ["ended", *NOTHING]]


def failure(number):
    what = ["ValueError", str(number), True]
    return [["on_failure", *what], ["failed", *what, "KeyError('first')"], ["after_return", *NOTHING]]


def test_what_receivers_read():
    program = [sys.executable, "-m", "canvas.as_celery", "-c", WORKER]
    done = subprocess.run(program, capture_output=True, text=True, timeout=60)
    sent = {"trace": "t1"}
    assert json.loads(done.stdout or done.stderr) == [
        *run_of("broken", [1], failure(1)),
        *run_of("broken", [2], failure(2), headers=sent),
        *run_of("again", [], [["tried", "Retry", "Retry in 0s", True]], headers=sent),
        *run_of("again", [], [], retries=1, headers=sent, trace="t1"),
    ]
