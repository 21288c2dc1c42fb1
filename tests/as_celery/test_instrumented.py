"""The names that OpenTelemetry's instrumentation of Celery reads: its imports, and the classes that it asks for."""

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
