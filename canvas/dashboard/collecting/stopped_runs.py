"""Runs that have stopped because a Celery worker, which starts no next nodes, ran one of their tasks."""

from collections.abc import Iterable
from typing import NamedTuple

from canvas.app.application import Canvas
from canvas.dashboard.collecting.workers import Answers
from canvas.errors import RunLost
from canvas.model import states
from canvas.model.run_index import in_celery_form
from canvas.remote.cluster_entries import Task

_RUNS = 20
"""Runs that are looked at."""


class StoppedRun(NamedTuple):
    """A run, the name of its workflow, and the Celery worker that ran a task of it."""

    id: str
    name: str
    worker: str


def workers_of_celery(tasks: Iterable[Task], answers: Answers) -> dict[tuple[str, str], set[str]]:
    """The Celery workers that have ended tasks of runs, by the run's id and its attempt, as text."""
    found: dict[tuple[str, str], set[str]] = {}
    for task in tasks:
        run, dot, rest = str(task.uuid).partition(".")
        if not dot or not task.ready or task.worker is None or answers.library_of(task.worker) != "celery":
            continue
        found.setdefault((run, rest.partition(".")[0]), set()).add(task.worker.hostname or "")
    return found


def stopped_runs(app: Canvas, tasks: Iterable[Task], answers: Answers) -> list[StoppedRun]:
    """The runs that have stopped, of those whose tasks are known. Raises BrokerError."""
    found = []
    for (run_id, attempt), workers in list(workers_of_celery(tasks, answers).items())[:_RUNS]:
        try:
            run = app.workflow(run_id)
            alive = str(run.attempt) == attempt and not in_celery_form(run.about) and run.query() == states.STARTED
        except RunLost:
            continue  # a task's own id may have a point too, and runs expire
        if alive:
            found.append(StoppedRun(run_id, str(run.about["name"]), min(workers)))
    return found
