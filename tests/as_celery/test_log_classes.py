"""A worker sets its log up by the methods of the app's own ``Logging`` class, in Celery's order."""

import json
import subprocess
import sys

import pytest

PROGRAM = """
import json, logging, sys
from celery import Celery, signals
from celery.app.log import Logging, TaskFormatter

def calls(name):
    def method(self, *args, **kwargs):
        called.append([name, sorted(kwargs)])
        return getattr(super(Own, self), name)(*args, **kwargs)
    return method

called, names = [], ("setup", "setup_logging_subsystem", "_configure_logger", "setup_handlers", "setup_task_loggers",
                     "redirect_stdouts", "redirect_stdouts_to_logger")
Own = type("Own", (Logging,), {name: calls(name) for name in names})
for name in ("setup_logging", "after_setup_logger", "after_setup_task_logger"):
    if name != "setup_logging" or "taken over" in sys.argv:
        def receive(name=name, **facts):
            called.append([name, sorted(set(facts) - {"signal", "sender"})])
        getattr(signals, name).connect(receive, weak=False)
app = Celery("own", broker="memory://", log=Own)
app.conf.update(worker_log_format="%(message)s", worker_hijack_root_logger="keep" not in sys.argv)
if "replaced" in sys.argv:
    app = Celery("own", broker="memory://")
    app.log = Own(app)
set_up(app)
print(json.dumps({
    "called": [one for one in called if one[0] != "_configure_logger" or "multiprocessing" not in one],
    "root": [logging.root.level, len(logging.root.handlers)],
    "tasks": [bool(logging.getLogger("celery.task").propagate), [type(one.formatter).__name__ for one in
              logging.getLogger("celery.task").handlers if type(one) is not logging.NullHandler], app.log.get_default_logger("celery.x").name],
}), file=sys.__stdout__)
"""
THEIRS = """
def set_up(app):
    worker = app.Worker(hostname="w@h", loglevel="INFO")
    if not worker._custom_logging:
        app.log.redirect_stdouts(worker.redirect_stdouts_level)
"""
OURS = """
import canvas.as_celery
from canvas.worker.logs.setup import WorkerLog, own_log
def set_up(app):
    WorkerLog(app.conf, "w@h", "INFO", own=own_log(app)).open()
"""


def run(how, case):
    done = subprocess.run([sys.executable, "-c", how + PROGRAM, *case], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    # Celery has a logger of multiprocessing's to configure, too; canvas' processes have none.
    names = [name for name, _ in found["called"]]
    second = [index for index, name in enumerate(names) if name == "_configure_logger"][1:]
    found["called"] = [
        one for index, one in enumerate(found["called"]) if index not in {*second, *(n + 1 for n in second)}
    ]
    return found


@pytest.mark.parametrize("case", [["usual"], ["taken over"], ["replaced"]], ids=" ".join)
def test_the_methods_are_called_as_celery_calls_them(case):
    theirs, ours = run(THEIRS, case), run(OURS, case)
    assert ours == theirs
    assert "setup_logging_subsystem" in [name for name, _ in ours["called"]]


READY = """
import canvas.as_celery, os, signal
from celery import Celery
from celery.app.log import Logging
from celery.signals import worker_ready
worker_ready.connect(lambda **_: os.kill(os.getpid(), signal.SIGTERM), weak=False)
Celery("own", broker="memory://", log=type("Own", (Logging,), {})).worker_main(["worker", "-l", "INFO", "-P", "solo"])
"""


def test_each_line_is_written_once():
    done = subprocess.run([sys.executable, "-c", READY], capture_output=True, text=True, timeout=60)
    assert (done.stderr.count(" ready."), done.stderr.count("Warm shutdown")) == (1, 1), done.stderr
