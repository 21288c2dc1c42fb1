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
"""Attempts that one look reads."""


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


class StoppedRuns:
    """The runs that have stopped, of those whose tasks are known."""

    def __init__(self, app: Canvas, answers: Answers) -> None:
        self._app = app
        self._answers = answers
        self._over: set[tuple[str, str]] = set()
        """Attempts that have ended, which are not read again."""

    def look(self, tasks: Iterable[Task]) -> list[StoppedRun]:
        """Those of the latest ``tasks``, given in their order. Raises BrokerError."""
        ran = workers_of_celery(reversed(list(tasks)), self._answers)
        self._over &= ran.keys()
        found, left = [], _RUNS
        for attempt, workers in ran.items():
            if attempt in self._over:
                continue
            if not left:
                break
            left -= 1
            name = self._name_of_stopped(attempt)
            if name is not None:
                found.append(StoppedRun(attempt[0], name, min(workers)))
        return found

    def _name_of_stopped(self, attempt: tuple[str, str]) -> str | None:
        """The name of an attempt's workflow; ``None`` if it has not started, or is over."""
        try:
            run = self._app.workflow(attempt[0])
            present = str(run.attempt) == attempt[1] and not in_celery_form(run.about)
            state = run.query() if present else None
        except RunLost:
            state = None  # a task's own id may have a point too, and runs expire
        if state == states.STARTED:
            return str(run.about["name"])
        if state != states.PENDING:
            self._over.add(attempt)
        return None
