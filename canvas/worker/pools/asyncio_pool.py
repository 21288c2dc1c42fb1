"""The asyncio pool: many places on one event loop. Coroutine tasks run on the loop, all others in threads."""

import asyncio
import inspect
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from contextvars import Context, copy_context
from functools import cache
from itertools import count
from typing import Any, TypeVar

from canvas.app.builtins import maps_coroutine
from canvas.errors import Reject, SoftTimeLimitExceeded, TimeLimitExceeded, WorkerLostError
from canvas.execution.cancellation import Interruptible
from canvas.execution.executor import aexecute, broken_off
from canvas.model.message import Delivery
from canvas.model.outcome import Failure, Outcome, Revoked
from canvas.model.settlement import ChordDispatch, Settlement
from canvas.result import denied_join_result, give_place_away
from canvas.telemetry import emit
from canvas.worker.consumer.buffer import Work
from canvas.worker.consumer.loop import SIGNALS_WITHIN, ConsumerLoop
from canvas.worker.pipeline.pipeline import Job, TaskPipeline
from canvas.worker.pools.coroutine_slots import Place, Places

_MOST_THREADS = 4096
_AWAITED_WITHIN = 5.0
"""Seconds that a worker which stops waits for tasks that await results, once nothing else runs in it."""
T = TypeVar("T")
_runs_on_loop = cache(inspect.iscoroutinefunction)


class _Returned(Exception):
    """The message of a task goes back to its queue, as a worker's that ends at once."""


def _return(job: Job) -> Outcome:
    """The end of a task that awaits results while its worker stops. Raises _Returned where its message can go back."""
    if not job.early:
        raise _Returned
    text = f"{job.message.task}[{job.message.id}]: its worker stopped while it awaited the result of another task"
    return Failure(WorkerLostError(text))


class AsyncioPool:
    """``places`` pieces of work at once; ``run`` returns when the exchange has no more to give."""

    def __init__(self, exchange: ConsumerLoop, line: TaskPipeline, places: int, patience: float = 0) -> None:
        """``patience``: seconds that tasks which await results have to end when the worker stops, at least."""
        self._patience = patience
        self._exchange = exchange
        self._line = line
        self._places = Places(places)
        self._numbers = count()
        self._threads = ThreadPoolExecutor(_MOST_THREADS, "canvas-slot")
        self._over = False
        """The loop ends, and cancels what is on it."""
        self._at_work: dict[int, asyncio.Task[None]] = {}
        """By number."""
        self._taken: dict[int, Place] = {}
        """The places of these."""
        self._returned: set[int] = set()
        """Those whose messages go back, because the worker stops while they await results."""

    def resize(self, by: int) -> None:
        """So many places more, or fewer as places fall free. From any thread."""
        self._loop.call_soon_threadsafe(self._places.resize, by)

    def run(self) -> None:
        """Work until told to stop."""
        with asyncio.Runner() as runner:
            loop = runner.get_loop()
            serving = loop.create_task(self._serve())
            try:
                while not serving.done():
                    # That of a task which a coroutine task has begun beside it comes through the loop; who awaits it
                    # hears of it.
                    with suppress(SystemExit, KeyboardInterrupt):
                        loop.run_until_complete(serving)
            finally:
                self._over = True
        self._threads.shutdown()

    async def _serve(self) -> None:
        self._loop, over = asyncio.get_running_loop(), asyncio.Event()
        self._line.loop = self._loop
        feeder = threading.Thread(target=self._feed, args=(over,), name="canvas-feeder", daemon=True)
        feeder.start()
        patience = max(_AWAITED_WITHIN, self._patience)
        while not over.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), SIGNALS_WITHIN)
            if self._only_awaits():
                patience -= SIGNALS_WITHIN
                if patience <= 0:
                    self._return_all()
        while self._at_work:
            await asyncio.wait(self._at_work.values(), timeout=SIGNALS_WITHIN)

    def _only_awaits(self) -> bool:
        """Whether the worker stops, and all that runs awaits results, which may be those of tasks it does not start."""
        return self._exchange.stopping and bool(self._taken) and all(place.is_away for place in self._taken.values())

    def _return_all(self) -> None:
        """End what awaits results, so that it runs again elsewhere."""
        for number in self._taken.keys() - self._returned:
            self._returned.add(number)
            self._at_work[number].cancel()

    def _feed(self, over: asyncio.Event) -> None:
        backlog, call = self._exchange.work, self._loop.call_soon_threadsafe
        # What is called from here, and all that it starts, runs in this thread's context.
        with denied_join_result():
            while True:
                self._places.take()
                found = [backlog.get()]
                # Each call into the loop wakes it by a byte in a pipe: what is at hand goes in one.
                while found[-1] is not None and not backlog.empty() and self._places.any_free():
                    self._places.take()
                    found.append(backlog.get())
                call(self._start, [work for work in found if work is not None])
                if found[-1] is None:
                    break
        call(over.set)

    def _start(self, found: list[Work]) -> None:
        for work, number in zip(found, self._numbers, strict=False):
            context = copy_context()
            self._at_work[number] = self._loop.create_task(self._take(work, number, context), context=context)

    async def _take(self, work: Work, number: int, context: Context) -> None:
        exchange = self._exchange
        await self._places.start()
        exchange.begin(number)
        place = self._taken[number] = Place(self._places, exchange, number)
        give_place_away(place.away)
        done: Settlement | ChordDispatch | None
        try:
            done = await self._run(work, number, context)
        except _Returned:
            done = None
        except BaseException as exc:
            # The pool must outlive a fault in the line itself; but what the loop cancels as it ends has no end yet.
            if self._over:
                raise
            done = self._line.fault(work, exc)
        place.end()
        exchange.done(number, done)
        del self._at_work[number], self._taken[number]

    async def _run(self, work: Work, number: int, context: Context) -> Settlement | ChordDispatch | None:
        line = self._line
        if not isinstance(work, Delivery):
            return await self._in_thread(line.do, work)
        job = line.admit(work)
        if isinstance(job, Settlement):
            return job
        if line.asks_broker(job):
            held_back = await self._in_thread(line.throttle, job)
        else:
            held_back = line.throttle(job)
        if held_back is not None:
            return held_back
        if _runs_on_loop(job.task.run) or maps_coroutine(job.task.app, job.message):
            return await self._perform(job, number, context)
        return await self._in_thread(self._do, job)

    def _in_thread(self, call: Callable[..., T], *arguments: Any) -> Awaitable[T]:
        return self._loop.run_in_executor(self._threads, call, *arguments)

    def _do(self, job: Job) -> Settlement:
        """Start and end on one thread: whoever listens to both finds one context."""
        with denied_join_result():
            return self._line.perform(job)

    async def _perform(self, job: Job, number: int, context: Context) -> Settlement:
        """Run a coroutine task on the loop, and settle it; its request is the current one all the while."""
        line, loop = self._line, self._loop
        line.enter(job)  # in this asyncio task's own context
        run = Interruptible(self._at_work[number])

        def end(outcome: Outcome) -> None:
            if isinstance(outcome, Failure):
                emit("task.timeout", message=job.message, limit=hard)
            run.end(outcome)

        for call in (*line.prefetch_nodes(job), *line.at_start(job)):
            await self._in_thread(call)
        hard, soft = job.hard, job.soft
        timers = []
        if soft:
            timers.append(loop.call_later(soft, run.interrupt, SoftTimeLimitExceeded(soft)))
        if hard:
            timers.append(loop.call_later(hard, end, Failure(TimeLimitExceeded(hard))))
        running = line.begin(job, lambda: loop.call_soon_threadsafe(end, Revoked("terminated")))
        try:
            outcome = await self._outcome(job, run, number)
            outcome = run.ended_as or outcome
            if isinstance(outcome, Failure) and job.message.embed["errbacks"]:
                return await self._conclude_beside(job, outcome, context)
            return line.conclude_run(job, outcome)
        finally:
            line.tally.end(running)
            for timer in timers:
                timer.cancel()

    async def _conclude_beside(self, job: Job, outcome: Outcome, context: Context) -> Settlement:
        """Settle in a thread, where error callbacks may take their time; hooks and signals are called on the loop, in
        the ``context`` of the task."""
        line, loop = self._line, self._loop

        def tell(outcome: Outcome) -> Reject | None:
            told: Future[Reject | None] = Future()

            def call() -> None:
                try:
                    told.set_result(line.tell_run(job, outcome))
                except BaseException as exc:  # noqa: BLE001 - raised on the thread that waits
                    told.set_exception(exc)

            loop.call_soon_threadsafe(call, context=context)
            return told.result()

        beside = copy_context()
        settlement, outcome = await self._in_thread(lambda: beside.run(line.settle, job, outcome, tell))
        line.over(job, outcome)
        return settlement

    async def _outcome(self, job: Job, run: Interruptible, number: int) -> Outcome:
        message = job.message
        try:
            return await aexecute(job.task, job.request, message.args, message.kwargs, run.watch, job.keys.fault)
        except Exception:
            raise
        except BaseException as exc:
            # As a slot's task; but for what the loop cancels as it ends.
            if self._over:
                raise
            job.broken_off = True
            if number in self._returned:
                return _return(job)
            return broken_off(exc)
