"""A worker starts no task before it is ready: its receivers of ``worker_ready`` come first, as Celery's do."""

import pytest

from canvas import Canvas
from tests.worker.program_processes import project_worker

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
    notes = tmp_path / "notes"
    app = {"canvas": "canvas.Canvas", "celery": "celery.Celery"}[library]
    source = PROJECT.format(library=library, app=app)
    broker, backend, _ = bench.urls()
    with Canvas("client", broker=broker, backend=backend, set_as_current=False) as client:
        results = [client.send_task("noted") for _ in range(3)]
        with project_worker(bench, tmp_path, source, "-P", pool, "-c", "2", library=library, NOTES=str(notes)):
            for result in results:
                result.get(timeout=30)
    assert notes.read_text().splitlines() == ["ready", "ran", "ran", "ran"]
