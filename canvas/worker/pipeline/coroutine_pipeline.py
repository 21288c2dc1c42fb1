"""The steps of a delivery on an event loop: those of ``TaskPipeline``, awaited where they would block the loop."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor, Future
from contextvars import Context, copy_context
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

from canvas.app.builtins import maps_coroutine
from canvas.errors import Reject, SoftTimeLimitExceeded, TimeLimitExceeded, WorkerLostError
from canvas.execution.cancellation import Interruptible
from canvas.execution.executor import aexecute, broken_off
from canvas.model.message import Delivery
from canvas.model.outcome import Failure, Outcome, Revoked
from canvas.model.settlement import ChordDispatch, Settlement
from canvas.model.workflow_run import RUN_HEADER, NodeRef
from canvas.result import denied_join_result
from canvas.telemetry import emit
from canvas.worker.consumer.buffer import Kept, Work
from canvas.worker.pipeline.pipeline import TaskPipeline
from canvas.worker.settlement.job import Job
from canvas.worker.settlement.nodes_ahead import prefetch_nodes

T = TypeVar("T")
_runs_on_loop = cache(inspect.iscoroutinefunction)


class Returned(Exception):
    """The message of a task returns to its queue, as those of a worker that ends at once do."""


@dataclass(slots=True, eq=False)
class OnLoop:
    """One piece of work on the loop."""

    task: "asyncio.Task[None]"
    """The asyncio task that carries it through the steps."""
    context: Context
    """The context of that task."""
    returns: bool = False
    """Its message returns to the queue, because the worker stops while the task awaits results."""

    def return_to_queue(self) -> None:
        """End the task, so that it runs again on another worker."""
        if not self.returns:
            self.returns = True
            self.task.cancel()


class AwaitedPipeline:
    """Takes work through the steps of a pipeline. Coroutine tasks run on the loop, all others in threads."""

    def __init__(self, steps: TaskPipeline, threads: Executor) -> None:
        self._steps = steps
        self._threads = threads
        self.closing = False
        """The loop ends, and cancels what is on it."""

    async def do(self, work: Work, on_loop: OnLoop) -> Settlement | ChordDispatch | Kept | None:
        """Everything one piece of work comes to. Raises Returned where its message returns to the queue."""
        steps = self._steps
        if not isinstance(work, Delivery):
            return await self._in_thread(steps.do, work)
        job = steps.admit(work)
        if isinstance(job, Settlement):
            return job
        if not _runs_on_loop(job.task.run) and not maps_coroutine(job.task.app, job.message):
            return await self._in_thread(self._perform_in_thread, job)
        return await self._throttle(job) or await self._perform(job, on_loop)

    async def _throttle(self, job: Job) -> Settlement | None:
        check = self._steps.lease_check
        in_doubt = check is not None and check.in_doubt(job.delivery)
        needs_broker = in_doubt or job.to_ack or self._steps.task_throttle.bind(job.task, job.message)
        return await self._in_thread(self._steps.throttle, job) if needs_broker else self._steps.throttle(job)

    async def _perform(self, job: Job, on_loop: OnLoop) -> Settlement:
        self._steps.enter(job)  # in this asyncio task's own context
        return await self._perform_on_loop(job, on_loop)

    def _in_thread(self, call: Callable[..., T], *arguments: Any) -> Awaitable[T]:
        return asyncio.get_running_loop().run_in_executor(self._threads, call, *arguments)

    def _perform_in_thread(self, job: Job) -> Settlement:
        """Start and end on one thread, so that listeners to both events find one context."""
        with denied_join_result():
            return self._steps.throttle(job) or self._steps.perform(job)

    async def _perform_on_loop(self, job: Job, on_loop: OnLoop) -> Settlement:
        """Run a coroutine task here, and settle it; its request is the current one all the while."""
        steps, loop, hard = self._steps, asyncio.get_running_loop(), job.hard
        run = Interruptible(on_loop.task)

        def end(outcome: Outcome) -> None:
            if isinstance(outcome, Failure):
                emit("task.timeout", message=job.message, limit=hard)
            run.end(outcome)

        def interrupt(soft: float) -> None:
            emit("task.soft_timeout", message=job.message, limit=soft)
            run.interrupt(SoftTimeLimitExceeded())

        for call in (*self._prefetch_nodes(job), *steps.at_start(job)):
            await self._in_thread(call)
        timers = []
        if job.soft:
            timers.append(loop.call_later(job.soft, interrupt, job.soft))
        if hard:
            timers.append(loop.call_later(hard, end, Failure(TimeLimitExceeded(hard))))
        steps.begin(job, lambda: loop.call_soon_threadsafe(end, Revoked("terminated", job.end_signal)))
        try:
            outcome = await self._execute(job, run, on_loop)
            return await self._settle(job, run.ended_as or outcome, on_loop.context)
        finally:
            steps.active_tasks.end(job)
            for timer in timers:
                timer.cancel()

    def _prefetch_nodes(self, job: Job) -> list[Callable[[], Any]]:
        """Calls that read beforehand what the settlement would have to wait for."""
        place = NodeRef.of(job.message.headers.get(RUN_HEADER))
        return [] if place is None else [lambda: prefetch_nodes(self._steps.runs, place)]

    async def _execute(self, job: Job, run: Interruptible, on_loop: OnLoop) -> Outcome:
        message = job.message
        try:
            outcome = await aexecute(job.task, job.request, message.args, message.kwargs, run.watch, job.keys.fault)
        except Exception:
            raise
        except BaseException as exc:
            self._steps.copies.end(exc)
            # As for a task in a worker thread; but what the loop cancels as it ends has no end yet.
            if self.closing:
                raise
            job.broken_off = True
            return _return(job) if on_loop.returns else broken_off(exc)
        self._steps.copies.end(outcome)
        return outcome

    async def _settle(self, job: Job, outcome: Outcome, context: Context) -> Settlement:
        """Settle here, or in a thread where error callbacks may take their time. Hooks and signals are called on the
        loop in any case, in the ``context`` of the task."""
        steps, loop = self._steps, asyncio.get_running_loop()
        if not (isinstance(outcome, Failure) and job.message.embed["errbacks"]):
            return steps.conclude_run(job, outcome)

        def report(job: Job, outcome: Outcome) -> Reject | None:
            reported: Future[Reject | None] = Future()

            def call() -> None:
                try:
                    reported.set_result(steps.reports.finished_here(job, outcome))
                except BaseException as exc:  # noqa: BLE001 - raised on the thread that waits
                    reported.set_exception(exc)

            loop.call_soon_threadsafe(call, context=context)
            return reported.result()

        beside = copy_context()
        settlement, outcome = await self._in_thread(lambda: beside.run(steps.settle, job, outcome, report))
        steps.reports.over(job, outcome)
        return settlement


def _return(job: Job) -> Outcome:
    """The end of a task that awaits results while its worker stops. Raises Returned where its message can go back."""
    if not job.early:
        raise Returned
    text = f"{job.message.task}[{job.message.id}]: its worker stopped while it awaited the result of another task"
    return Failure(WorkerLostError(text))
