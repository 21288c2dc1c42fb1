"""The asyncio pool: many places on one event loop. Coroutine tasks run on the loop, all others in threads."""

import asyncio
import inspect
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from itertools import count
from queue import SimpleQueue
from typing import Any, TypeVar

from canvas.errors import SoftTimeLimitExceeded, TimeLimitExceeded
from canvas.execute import aexecute, broken_off
from canvas.interruptible import Interruptible
from canvas.model.message import Delivery
from canvas.model.outcome import Failure, Outcome, Revoked
from canvas.model.settlement import Firing, Settlement
from canvas.result import denied_join_result
from canvas.telemetry import emit
from canvas.worker.backlog import Work
from canvas.worker.exchange import SIGNALS_WITHIN, Exchange
from canvas.worker.run import Job, Line

_MOST_THREADS = 4096
T = TypeVar("T")
_runs_on_loop = cache(inspect.iscoroutinefunction)


class LoopSlots:
    """``places`` pieces of work at once; ``run`` returns when the exchange has no more to give."""

    def __init__(self, exchange: Exchange, line: Line, places: int) -> None:
        self._exchange = exchange
        self._line = line
        self._free: SimpleQueue[None] = SimpleQueue()
        """Its items are free places; a semaphore takes five times as long."""
        self._surplus = 0
        self._places = count()
        self._threads = ThreadPoolExecutor(_MOST_THREADS, "canvas-slot")
        self._over = False
        """The loop ends, and cancels what is on it."""
        self._at_work: dict[int, asyncio.Task[None]] = {}
        """By place."""
        self.resize(places)

    def resize(self, by: int) -> None:
        """So many places more, or fewer as places fall free."""
        for _ in range(by):
            self._free.put(None)
        if by < 0:
            self._surplus -= by

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
        feeder = threading.Thread(target=self._feed, args=(over,), name="canvas-feeder", daemon=True)
        feeder.start()
        while not over.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), SIGNALS_WITHIN)
        while self._at_work:
            await asyncio.wait(self._at_work.values(), timeout=SIGNALS_WITHIN)

    def _feed(self, over: asyncio.Event) -> None:
        backlog, call = self._exchange.work, self._loop.call_soon_threadsafe
        # What is called from here, and all that it starts, runs in this thread's context.
        with denied_join_result():
            while True:
                self._free.get()
                found = [backlog.get()]
                # Each call into the loop wakes it by a byte in a pipe: what is at hand goes in one.
                while found[-1] is not None and not backlog.empty() and not self._free.empty():
                    self._free.get()
                    found.append(backlog.get())
                call(self._start, [work for work in found if work is not None])
                if found[-1] is None:
                    break
        call(over.set)

    def _start(self, found: list[Work]) -> None:
        for work, place in zip(found, self._places, strict=False):
            self._at_work[place] = self._loop.create_task(self._take(work, place))

    async def _take(self, work: Work, place: int) -> None:
        exchange = self._exchange
        exchange.begin(place)
        try:
            done = await self._run(work, place)
        except BaseException as exc:
            # The pool must outlive a fault in the line itself; but what the loop cancels as it ends has no end yet.
            if self._over:
                raise
            done = self._line.fault(work, exc)
        exchange.done(place, done)
        if self._surplus:
            self._surplus -= 1
        else:
            self._free.put(None)
        del self._at_work[place]

    async def _run(self, work: Work, place: int) -> Settlement | Firing | None:
        line = self._line
        if not isinstance(work, Delivery):
            return await self._in_thread(line.do, work)
        job = line.admit(work)
        if isinstance(job, Settlement):
            return job
        if line.asks_broker(job):
            held_back = await self._in_thread(line.hold_back, job)
        else:
            held_back = line.hold_back(job)
        if held_back is not None:
            return held_back
        if _runs_on_loop(job.task.run):
            return line.conclude(job, await self._execute(job, self._at_work[place]))
        return await self._in_thread(self._do, job)

    def _in_thread(self, call: Callable[..., T], *arguments: Any) -> Awaitable[T]:
        return self._loop.run_in_executor(self._threads, call, *arguments)

    def _do(self, job: Job) -> Settlement:
        """Start and end on one thread: whoever listens to both finds one context."""
        with denied_join_result():
            return self._line.conclude(job, self._line.execute(job))

    async def _execute(self, job: Job, task: asyncio.Task[None]) -> Outcome:
        line, loop = self._line, self._loop
        run = Interruptible(task)

        def end(outcome: Outcome) -> None:
            if isinstance(outcome, Failure):
                emit("task.timeout", message=job.message, limit=hard)
            run.end(outcome)

        for call in (*line.look_ahead(job), *line.at_start(job)):
            await self._in_thread(call)
        hard, soft = job.hard, job.soft
        timers = []
        if soft:
            timers.append(loop.call_later(soft, run.interrupt, SoftTimeLimitExceeded(soft)))
        if hard:
            timers.append(loop.call_later(hard, end, Failure(TimeLimitExceeded(hard))))
        running = line.begin(job, lambda: loop.call_soon_threadsafe(end, Revoked("terminated")))
        try:
            message = job.message
            outcome = await aexecute(job.task, job.request, message.args, message.kwargs, run.watch, job.keys.fault)
        except Exception:
            raise
        except BaseException as exc:
            # As a slot's task; but for what the loop cancels as it ends.
            if self._over:
                raise
            outcome = broken_off(exc)
        finally:
            line.tally.end(running)
            for timer in timers:
                timer.cancel()
        return run.ended_as or outcome
