"""Calls that are run together: tasks whose class is ``Batches`` of celery-batches.

The worker collects the calls of such a task, and calls its function with the list of their requests when there are
``flush_every`` of them, or ``flush_interval`` seconds after the first one. Each process of a worker collects its own.
The leases of the collected messages are held and renewed meanwhile. When the process stops, it returns them.

As with celery-batches on Celery's workers, the function itself stores results, and an exception that it raises is
logged: the messages are acked all the same, and no errback is called.
"""

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, Protocol

from canvas import signals, telemetry
from canvas.app.application import Canvas
from canvas.execution.signal_arguments import ReceivedRequest
from canvas.model import states
from canvas.model.ids import new_id
from canvas.model.message import Delivery
from canvas.model.outcome import Success
from canvas.model.settlement import Settlement
from canvas.task.task import Task
from canvas.worker.consumer.buffer import DueBatch, Kept
from canvas.worker.consumer.revoked import Revocations
from canvas.worker.pipeline.active_tasks import ActiveTasks
from canvas.worker.pipeline.admission import Discard, admit
from canvas.worker.pipeline.reports import TaskReports
from canvas.worker.pipeline.throttle import Throttle
from canvas.worker.pipeline.unrunnable import Unrunnable
from canvas.worker.settlement.job import NO_KEYS, Job

_log = logging.getLogger(__name__)


class Loop(Protocol):
    """Takes the settlements of calls that were kept, and the batches that are due."""

    @property
    def early_acked(self) -> set[str]: ...

    def submit(self, work: Sequence[DueBatch]) -> None: ...

    def finish(self, settlements: Iterable[Settlement | None]) -> None: ...


class Steps(Protocol):
    """The steps of the pipeline that a batch needs."""

    active_tasks: ActiveTasks
    reports: TaskReports
    revocations: Revocations
    task_throttle: Throttle
    unrunnable: Unrunnable

    def throttle(self, job: Job) -> Settlement | None: ...
    def notes_start(self, job: Job) -> bool: ...
    def at_start(self, job: Job) -> list[Callable[[], Any]]: ...
    def begin(self, job: Job, terminate: Callable[[], object] | None) -> None: ...


class _Batch(NamedTuple):
    """The calls of one task that wait to be run."""

    jobs: dict[str, Job]
    """By the ids of the calls."""
    replaced: list[Job]
    """Earlier messages with the id of a later one."""
    due: list[threading.Timer]
    """The timer of the first call, if there is one."""


class BatchedCalls:
    """The calls that one process has collected. Slots add to them, and run them."""

    def __init__(self, tasks: Sequence[str], app: Canvas, pipeline: Steps, loop: Loop) -> None:
        """``tasks``: the names of the tasks whose calls are collected."""
        self._app = app
        self._pipeline = pipeline
        self._loop = loop
        self._lock = threading.Lock()
        self._batches = {name: _Batch({}, [], []) for name in tasks}

    def __contains__(self, task: object) -> bool:
        return task in self._batches

    def __len__(self) -> int:
        """The number of collected calls."""
        return sum(len(batch.jobs) + len(batch.replaced) for batch in self._batches.values())

    def add(self, job: Job) -> Kept:
        """Collect a call, and run the batch if it is full. All of its calls are settled together."""
        if "task.received" in telemetry.listeners and "canvas_received" not in job.message.headers:
            self._pipeline.reports.received(job)
            job.message.headers["canvas_received"] = True
        name, batch = job.task.name, self._batches[job.task.name]
        with self._lock:
            known = batch.jobs.pop(job.message.id, None)
            if known is not None and known.delivery.tag != job.delivery.tag:
                batch.replaced.append(known)
            elif known is not None:
                self._loop.finish([None])  # its lease was lost, and the message has come again
            batch.jobs[job.message.id] = job
            if len(batch.jobs) < job.task.flush_every:
                if not batch.due:
                    timer = threading.Timer(job.task.flush_interval, self._loop.submit, ([DueBatch(name)],))
                    timer.daemon = True
                    batch.due.append(timer)
                    timer.start()
                return Kept.FOR_LATER
            jobs, replaced = self._taken(batch)
        self._loop.finish(self._run(jobs, replaced))
        return Kept.FOR_LATER

    def run_due(self, name: str) -> None:
        """Run the calls of a task that are collected, however many they are."""
        with self._lock:
            jobs, replaced = self._taken(self._batches[name])
        self._loop.finish(self._run(jobs, replaced))

    def withdraw(self) -> list[Delivery]:
        """The messages of all collected calls, which are then forgotten here."""
        with self._lock:
            taken = [job for batch in self._batches.values() for jobs in self._taken(batch) for job in jobs]
        return [job.delivery for job in taken]

    @staticmethod
    def _taken(batch: _Batch) -> tuple[list[Job], list[Job]]:
        """The calls to run, and the messages that they have replaced."""
        for timer in batch.due:
            timer.cancel()
        found = list(batch.jobs.values()), list(batch.replaced)
        for part in batch:
            part.clear()
        return found

    def _run(self, jobs: Sequence[Job], replaced: Sequence[Job]) -> list[Settlement | None]:
        """Run calls. Returns their settlements. Messages that were replaced are returned to their queue, if they are
        still leased: programs may give two calls one id."""
        returned = [Settlement(job.delivery, job.fence, disposal="requeue") for job in replaced]
        try:
            return [*returned, *self._steps(jobs)]
        except BaseException as exc:  # noqa: BLE001 - the slot must outlive a fault in the pipeline itself
            return [*returned, *(self._pipeline.unrunnable.internal_error(job.delivery, exc) for job in jobs)]

    def _steps(self, jobs: Sequence[Job]) -> list[Settlement]:
        settled: list[Settlement] = []
        ready: list[Job] = []
        for job in jobs:
            ended = self._refused(job) or self._pipeline.throttle(job)
            if ended is None:
                ready.append(job)
            else:
                settled.append(ended)
        if ready:
            for job in ready:
                for call in self._pipeline.at_start(job) if self._pipeline.notes_start(job) else ():
                    call()
                self._pipeline.begin(job, None)
            try:
                _call(ready[0].task, [self._simple(job) for job in ready])
            finally:
                for job in ready:
                    self._pipeline.active_tasks.end(job)
        return settled + [self._acked(job) for job in ready]

    def _refused(self, job: Job) -> Settlement | None:
        """The settlement of a call that was revoked, or has expired, while it was kept."""
        message = job.message
        if self._pipeline.revocations.any and self._pipeline.revocations.match(message):
            return self._pipeline.unrunnable.discard(job, "revoked")
        if message.headers.get("expires") is not None:
            admission = admit(message, time.time() + self._app.clock_offset)
            if type(admission) is Discard:
                return self._pipeline.unrunnable.discard(job, admission.reason)
        return None

    def _simple(self, job: Job) -> Any:
        """The call as the function gets it: celery-batches' own kind of request."""
        request = ReceivedRequest(job.message, job.request, job.task, job.request.hostname or "")
        return sys.modules["celery_batches"].SimpleRequest.from_request(request)

    def _acked(self, job: Job) -> Settlement:
        settlement = Settlement(job.delivery, job.fence)
        self._loop.early_acked.discard(job.delivery.tag)
        if job.keys is NO_KEYS:
            return settlement
        return self._pipeline.task_throttle.with_releases(settlement, job.task, job.keys, Success(None))


def _call(task: Task[Any], requests: list[Any]) -> None:
    """Call the function with the requests; what it raises is logged."""
    facts: dict[str, Any] = {"task_id": new_id(), "task": task, "args": (requests,), "kwargs": {}}
    value, state = None, states.SUCCESS
    task.push_request(id=facts["task_id"])
    try:
        signals.task_prerun.send(sender=task, **facts)
        try:
            value = task(requests)
        except BaseException as exc:  # noqa: BLE001 - the slot outlives the user's code, and the messages are acked
            state = states.FAILURE
            _log.error("A batch of %d calls of %s failed: %r", len(requests), task.name, exc, exc_info=True)
        else:
            signals.task_success.send(sender=task, result=value)
        signals.task_postrun.send(sender=task, retval=value, state=state, **facts)
    finally:
        task.pop_request()
