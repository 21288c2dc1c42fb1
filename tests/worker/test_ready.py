"""A worker starts no task before it is ready: its receivers of ``worker_ready`` come first, as Celery's do."""

from uuid import uuid4

import pytest

from canvas import Canvas
from tests.support.processes import ROOT, WorkerProcess

PROJECT = """
import os
import time
from pathlib import Path

import {library}
from {library}.signals import worker_ready

app = {app}("project", broker=os.environ["APP_BROKER"], backend=os.environ["APP_BACKEND"])


def note(text):
    with Path(os.environ["NOTES"]).open("a") as notes:
        notes.write(text)


@worker_ready.connect
def ready(**_):
    time.sleep(0.5)  # a task that is not held back starts meanwhile
    note("ready\\n")


@app.task(name="noted")
def noted():
    note("ran\\n")
"""


@pytest.mark.parametrize(
    ("library", "pool"),
    [("canvas", "prefork"), ("canvas", "threads"), ("canvas", "solo"), ("celery", "prefork")],
)
def test_no_task_starts_before_the_receivers_of_worker_ready_have_returned(bench, tmp_path, library, pool):
    module, notes = f"project_{uuid4().hex}", tmp_path / "notes"
    app = {"canvas": "canvas.Canvas", "celery": "celery.Celery"}[library]
    (tmp_path / f"{module}.py").write_text(PROJECT.format(library=library, app=app))
    broker, backend, _ = bench.urls()
    environment = {"PYTHONPATH": f"{ROOT}:{tmp_path}", "NOTES": str(notes)}
    with Canvas("client", broker=broker, backend=backend, set_as_current=False) as client:
        results = [client.send_task("noted") for _ in range(3)]
        worker = WorkerProcess(
            library, broker, backend, "-P", pool, "-c", "2", app=f"{module}:app", new_program=True, env=environment
        )
        try:
            for result in results:
                result.get(timeout=30)
        finally:
            worker.stop()
    assert notes.read_text().splitlines() == ["ready", "ran", "ran", "ran"]
