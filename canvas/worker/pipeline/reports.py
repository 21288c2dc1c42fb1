"""Reports on a task's way through the pipeline: telemetry events, and the hooks that the task's class defines."""

import time
from functools import partial
from traceback import format_exception_only
from typing import Any

from canvas import telemetry
from canvas.errors import Reject
from canvas.execution.executor import call_hook, handling, outcome_hook, return_hook
from canvas.model.outcome import Failure, Outcome, Rejected, Success
from canvas.task.task import Task
from canvas.telemetry import emit
from canvas.worker.settlement.job import Job

_OVER = "task.over"


class TaskReports:
    """The reports of one node."""

    def __init__(
        self, hostname: str, finished: str = "task.finished", over: str = _OVER, unsuccessful: str = "task.unsuccessful"
    ) -> None:
        """``finished``: the event of a task that has ended. ``over``: the event after that one's listeners and
        ``after_return``. ``unsuccessful``: the event before ``finished`` of a task without success."""
        self._hostname = hostname
        self._finished = finished
        self._unsuccessful = unsuccessful
        self.over_event = over

    def received(self, job: Job) -> None:
        """The message has come to a worker."""
        emit("task.received", message=job.message, hostname=self._hostname, request=job.request, task=job.task)

    def discarding(self, job: Job) -> None:
        """The message has come to a worker, which will not run it: it is revoked, or has expired."""
        emit("task.discarding", message=job.message)

    def started(self, job: Job) -> None:
        """The task starts."""
        waited = max(0.0, time.monotonic() - job.delivery.leased_at)
        emit("task.started", message=job.message, hostname=self._hostname, task=job.task, waited=waited)

    def finished(self, job: Job, outcome: Outcome) -> None:
        """The task has ended, or will not run."""
        events = (self._finished,) if type(outcome) is Success else (self._unsuccessful, self._finished)
        for event in events:
            if event in telemetry.listeners:
                handling(outcome, partial(emit, event, **self._facts(job, outcome)))

    def finished_here(self, job: Job, outcome: Outcome) -> Reject | None:
        """The task has ended in this process: the hook of the outcome, ``finished``, then ``after_return``. Returns the
        Reject that a hook raised."""
        kind = type(job.task)
        if job.broken_off or (
            kind.on_success is Task.on_success
            and kind.on_failure is Task.on_failure
            and kind.on_retry is Task.on_retry
            and kind.after_return is Task.after_return
        ):
            if type(outcome) is not Success:
                self.finished(job, outcome)
            elif self._finished in telemetry.listeners:
                emit(self._finished, **self._facts(job, outcome))
            return None
        task, request = job.task, job.request
        facts = task, request, job.message.args, job.message.kwargs, outcome
        hook = outcome_hook(*facts)
        rejected = handling(outcome, partial(call_hook, hook, task, request)) if hook is not None else None
        self.finished(job, outcome)
        hook = return_hook(*facts)
        return (call_hook(hook, task, request) if hook is not None else None) or rejected

    def over(self, job: Job, outcome: Outcome) -> None:
        """The last report of a task that ran here: all of its hooks have been called."""
        emit(self.over_event, **self._facts(job, outcome))
        if isinstance(outcome, Rejected) and not outcome.requeue and self.over_event == _OVER:
            exc = Reject(outcome.reason, requeue=False)
            failure = Failure(exc, "".join(format_exception_only(exc)))
            emit("task.rejected", **self._facts(job, failure))

    def _facts(self, job: Job, outcome: Outcome) -> dict[str, Any]:
        return {
            "message": job.message,
            "outcome": outcome,
            "runtime": time.perf_counter() - job.started,
            "hostname": self._hostname,
            "task": job.task,
            "request": job.request,
        }
