"""The asyncio pool: many slots on one event loop. Coroutine tasks run on the loop, all others in threads."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor, thread
from contextlib import suppress
from contextvars import copy_context
from itertools import count

from canvas.forks import in_forks
from canvas.model.settlement import ChordDispatch, Settlement
from canvas.result import denied_join_result, let_coroutines_await
from canvas.worker.consumer.buffer import Kept, Work
from canvas.worker.consumer.loop import SIGNALS_WITHIN, ConsumerLoop
from canvas.worker.pipeline.coroutine_pipeline import AwaitedPipeline, OnLoop, Returned
from canvas.worker.pipeline.pipeline import TaskPipeline
from canvas.worker.pools.coroutine_slots import CoroutineSlots, TaskSlot

_MOST_THREADS = 4096
_AWAITED_WITHIN = 5.0
"""Seconds that a worker which stops waits for tasks that await results, once nothing else runs in it."""


class AsyncioPool:
    """``slots`` pieces of work at once; ``run`` returns when the consumer loop has no more to give."""

    def __init__(self, consumer: ConsumerLoop, task_pipeline: TaskPipeline, slots: int, grace: float = 0) -> None:
        """``grace``: seconds that tasks which await results have to end when the worker stops, at least."""
        self._grace = grace
        self._consumer = consumer
        self._task_pipeline = task_pipeline
        self._slots = CoroutineSlots(slots)
        self._numbers = count()
        self._threads = ThreadPoolExecutor(_MOST_THREADS, "canvas-slot")
        self._forget_reset = in_forks(_forget_threads)
        self._pipeline = AwaitedPipeline(task_pipeline, self._threads)
        self._at_work: dict[int, OnLoop] = {}
        """The work that is in progress, by a number of its own."""
        self._taken: dict[int, TaskSlot] = {}
        """The slots that this work occupies, by the same numbers."""

    def resize(self, by: int) -> None:
        """Add ``by`` slots, or remove slots as they become free. Safe from any thread."""
        self._loop.call_soon_threadsafe(self._slots.resize, by)

    def run(self) -> None:
        """Work until the loop stops."""
        with asyncio.Runner() as runner:
            loop = runner.get_loop()
            serving = loop.create_task(self._serve())
            try:
                while not serving.done():
                    # The exception of an asyncio task that a coroutine task has started comes through the loop; the
                    # code that awaits this task gets it too.
                    with suppress(SystemExit, KeyboardInterrupt):
                        loop.run_until_complete(serving)
            finally:
                self._pipeline.closing = True
        self._threads.shutdown()
        self._forget_reset()

    async def _serve(self) -> None:
        self._loop, over = asyncio.get_running_loop(), asyncio.Event()
        self._task_pipeline.loop = self._loop
        feeder = threading.Thread(target=self._feed, args=(over,), name="canvas-feeder", daemon=True)
        feeder.start()
        grace = max(_AWAITED_WITHIN, self._grace)
        while not over.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), SIGNALS_WITHIN)
            if self._only_awaits():
                grace -= SIGNALS_WITHIN
                if grace <= 0:
                    self._return_all()
        while self._at_work:
            await asyncio.wait([one.task for one in self._at_work.values()], timeout=SIGNALS_WITHIN)

    def _only_awaits(self) -> bool:
        """Whether the worker stops and each task that runs awaits results, perhaps of tasks that it starts no more."""
        return (
            self._consumer.stopping and bool(self._taken) and all(slot.awaits_results for slot in self._taken.values())
        )

    def _return_all(self) -> None:
        """End the tasks that await results, so that they run again elsewhere."""
        for number in self._taken:
            self._at_work[number].return_to_queue()

    def _feed(self, over: asyncio.Event) -> None:
        buffer, call = self._consumer.work, self._loop.call_soon_threadsafe
        # Functions that are called from here, and all that they start, run in this thread's context.
        with denied_join_result():
            while True:
                self._slots.take()
                found = [buffer.get()]
                # Each call into the loop wakes it by a byte in a pipe: one call passes all the work at hand.
                while found[-1] is not None and not buffer.empty() and self._slots.any_free():
                    self._slots.take()
                    found.append(buffer.get())
                call(self._start, [work for work in found if work is not None])
                if found[-1] is None:
                    break
        call(over.set)

    def _start(self, found: list[Work]) -> None:
        for work, number in zip(found, self._numbers, strict=False):
            context = copy_context()
            task = self._loop.create_task(self._take(work, number), context=context)
            self._at_work[number] = OnLoop(task, context)

    async def _take(self, work: Work, number: int) -> None:
        consumer = self._consumer
        await self._slots.start()
        consumer.begin(number)
        slot = self._taken[number] = TaskSlot(self._slots, consumer, number)
        let_coroutines_await(slot.awaiting)
        done: Settlement | ChordDispatch | Kept | None
        try:
            done = await self._pipeline.do(work, self._at_work[number])
        except Returned:
            done = None
        except BaseException as exc:
            # The pool must outlive a fault of the pipeline; a task that the ending loop cancels is not settled yet.
            if self._pipeline.closing:
                raise
            done = self._task_pipeline.unrunnable.internal_error(work, exc)
        slot.end()
        consumer.complete(number, done)
        del self._at_work[number], self._taken[number]


def _forget_threads() -> None:
    """Let a forked process end without joining the threads of executors, as Python does.

    Of these threads it has only the one that forked, which cannot join itself: the process would exit with 1.
    """
    vars(thread).get("_threads_queues", {}).clear()
