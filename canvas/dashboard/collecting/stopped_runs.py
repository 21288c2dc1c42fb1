"""Runs that have stopped because a Celery worker, which starts no next nodes, ran one of their tasks."""

import threading
from collections.abc import Iterable
from typing import NamedTuple

from canvas.app.application import Canvas
from canvas.dashboard.collecting.workers import Answers, is_of_canvas
from canvas.errors import RunLost
from canvas.model import states
from canvas.model.run_index import in_celery_form
from canvas.model.workflow_run import child_run_of
from canvas.remote.cluster_entries import Task, Worker

_RUNS = 20
"""Attempts that one call reads at most."""
_KNOWN = 10_000
"""Attempts whose workers are remembered."""

_INNER = child_run_of("") + "."
"""In the id of a task of an inner run, the text after the id of the task whose place that run takes."""


class StoppedRun(NamedTuple):
    """A run, the name of its workflow, and the Celery worker that ran a task of it."""

    id: str
    name: str
    worker: str


class StoppedRuns:
    """The runs that have stopped, of those whose tasks' ends were seen in events."""

    def __init__(self, app: Canvas, answers: Answers) -> None:
        self._app = app
        self._answers = answers
        self._ran: dict[tuple[str, str], dict[str, Worker]] = {}
        """The workers that have ended tasks of runs, by the run's id and its attempt, as text."""
        self._lock = threading.Lock()

    def take(self, tasks: Iterable[Task]) -> None:
        """Note the workers of tasks that have changed."""
        for task in tasks:
            attempt = _attempt_of(str(task.uuid))
            if attempt is None or not task.ready or task.worker is None or is_of_canvas(task.worker.sw_ident):
                continue
            with self._lock:
                self._ran.setdefault(attempt, {})[task.worker.hostname or ""] = task.worker
                if len(self._ran) > _KNOWN:
                    del self._ran[next(iter(self._ran))]

    def workers_of_celery(self, run: str, attempt: str) -> list[str]:
        """The names of the Celery workers that have ended tasks of an attempt of a run."""
        with self._lock:
            workers = dict(self._ran.get((run, attempt), {}))
        return sorted(name for name, worker in workers.items() if self._answers.library_of(worker) == "celery")

    def look(self) -> list[StoppedRun]:
        """The stopped runs among the latest ones, the run that began last first. Raises BrokerError."""
        with self._lock:
            attempts = list(reversed(self._ran))
        found, left = [], _RUNS
        for attempt in attempts:
            workers = self.workers_of_celery(*attempt)
            if not workers:
                continue
            if not left:
                break
            left -= 1
            name = self._name_of_stopped(attempt)
            if name is not None:
                found.append(StoppedRun(attempt[0], name, workers[0]))
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
            with self._lock:
                self._ran.pop(attempt, None)
        return None


def _attempt_of(task_id: str) -> tuple[str, str] | None:
    """The run, the innermost one, and its attempt, as text, of a task of a run; ``None`` for the id of another task."""
    outer, inner, rest = task_id.rpartition(_INNER)
    run, point, rest = (child_run_of(outer), inner, rest) if inner else task_id.partition(".")
    return (run, rest.partition(".")[0]) if point else None
