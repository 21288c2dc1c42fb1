"""A project written for Celery runs on canvas, client and worker, without a changed line."""

import json
import os
import subprocess
import sys
import time

import pytest

PROJECT = '''
import os
import time

from celery import Celery, Task, chain, chord, current_task, group, shared_task, signals
from celery.canvas import Signature
from celery.contrib.abortable import AbortableAsyncResult, AbortableTask
from celery.exceptions import Retry, SoftTimeLimitExceeded
from celery.result import AsyncResult
from celery.schedules import crontab
from celery.utils.log import get_task_logger
from celery.worker.control import control_command, inspect_command
from kombu import Exchange, Queue

log = get_task_logger(__name__)
app = Celery("proj", broker=os.environ["BROKER"], backend=os.environ["RESULTS"])
app.conf.update(
    task_queues=[Queue("celery", Exchange("celery"), routing_key="celery"), Queue("other", routing_key="other")],
    task_routes={"proj.tasks.elsewhere": {"queue": "other"}},
    beat_schedule={"nightly": {"task": "proj.tasks.add", "schedule": crontab(hour=3), "args": (1, 2)}},
)
seen = []


class Base(Task):
    def on_success(self, retval, task_id, args, kwargs):
        seen.append(task_id)


@signals.task_prerun.connect
def note(sender=None, task_id=None, **kwargs):
    log.info("starting %s", task_id)


@app.task
def add(x, y):
    return x + y


@shared_task(bind=True, max_retries=3)
def flaky(self):
    if self.request.retries < 2:
        raise self.retry(countdown=0)
    return self.request.retries


@app.task(base=Base, name="proj.tasks.elsewhere")
def elsewhere(x):
    assert isinstance(current_task._get_current_object() if hasattr(current_task, "_get_current_object") else current_task, Task)
    return x * 10


@shared_task
def total(values):
    return sum(values)


@app.task(bind=True, base=AbortableTask)
def until_aborted(self):
    deadline = time.monotonic() + 30
    self.update_state(state="PROGRESS")
    while not self.is_aborted() and time.monotonic() < deadline:
        time.sleep(0.01)
    return "stopped" if self.is_aborted() else "too late"


@inspect_command(args=[("factor", int)], signature="[FACTOR=1]")
def processed(state, factor=1):
    """Count the tasks that succeeded."""
    return {"hostname": state.hostname, "count": len(seen) * factor, "main": state.app.main}


@control_command()
def forget_processed(state):
    seen.clear()
    return {"ok": "forgotten"}
'''
CLIENT = """
import json
import time
import proj
from celery import chain, chord, group


def aborted():
    running = proj.until_aborted.delay()
    deadline = time.monotonic() + 30
    while running.state != "PROGRESS" and time.monotonic() < deadline:
        time.sleep(0.01)
    proj.AbortableAsyncResult(running.id, app=proj.app).abort()
    while running.state != "SUCCESS" and time.monotonic() < deadline:
        time.sleep(0.01)
    return running.result


result = chord([proj.add.s(i, i) for i in range(3)])(proj.total.s())
print(json.dumps([
    type(proj.app).__module__,
    chain(proj.add.s(1, 2), proj.elsewhere.s()).delay().get(timeout=30),
    proj.flaky.delay().get(timeout=30),
    result.get(timeout=30),
    group(proj.add.s(i, 1) for i in range(3)).delay().get(timeout=30),
    aborted(),
]))
"""


def wait_until_ready(worker, log, timeout=60):
    deadline = time.monotonic() + timeout
    while " ready." not in log.read_text():
        assert worker.poll() is None and time.monotonic() < deadline, log.read_text()
        time.sleep(0.02)


@pytest.fixture(scope="module")
def project(tmp_path_factory, redis_server):
    folder = tmp_path_factory.mktemp("project")
    (folder / "proj.py").write_text(PROJECT)
    environment = {**os.environ, "BROKER": redis_server.url(0), "RESULTS": redis_server.url(1)}
    environment.pop("CANVAS_AS_CELERY", None)
    log = (folder / "worker.log").open("w")
    command = [sys.executable, "-m", "canvas", "celery", "-A", "proj", "worker", "-l", "INFO", "-c", "2", "-n", "w@%h",
               "-Q", "celery,other"]  # fmt: skip
    worker = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        wait_until_ready(worker, folder / "worker.log")
        yield folder, environment
    finally:
        worker.terminate()
        worker.wait(30)
        log.close()


def command(project, *words):
    folder, environment = project
    done = subprocess.run(
        [sys.executable, "-m", "canvas", "celery", "-A", "proj", *words],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_client_and_worker(project):
    folder, environment = project
    done = subprocess.run(
        [sys.executable, "-c", "import canvas\n" + CLIENT], cwd=folder, env={**environment, "CANVAS_AS_CELERY": "1"},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr + (folder / "worker.log").read_text()
    assert json.loads(done.stdout) == ["canvas.app.application", 30, 2, 6, [1, 2, 3], "stopped"]


def test_the_same_project_with_celerys_client(project):
    """Without the switch the same files are Celery's client of the same worker."""
    folder, environment = project
    done = subprocess.run(
        [sys.executable, "-c", CLIENT], cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == ["celery.app.base", 30, 2, 6, [1, 2, 3], "stopped"]


def test_commands_that_the_project_defines(project):
    assert "forgotten" in command(project, "control", "forget_processed")
    answers = json.loads(command(project, "inspect", "--json", "processed", "3"))
    (answer,) = answers.values()
    assert (answer["main"], answer["hostname"].partition("@")[0]) == ("proj", "w")
    assert "processed [FACTOR=1]" in command(project, "inspect", "--list")


def test_other_commands(project):
    assert "pong" in command(project, "inspect", "ping")
    assert command(project, "call", "proj.add", "--args", "[1, 2]").strip()
    assert "nightly" in command(project, "schedule", "list")
