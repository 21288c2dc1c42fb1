"""The slots of a pool on an event loop: a task that awaits results gives its slot to another task meanwhile."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from queue import Empty, SimpleQueue

from canvas.result import check_join_allowed
from canvas.worker.consumer.loop import ConsumerLoop


class CoroutineSlots:
    """How many tasks may run at once. All but ``take`` belongs to the loop's thread.

    Each slot is free, or taken by a task that runs, or by the feeder, for a message. A task that comes back from a
    wait goes before new ones. It may take the feeder's slot: then the feeder's message waits for the next one.
    """

    def __init__(self, count: int) -> None:
        self._free: SimpleQueue[None] = SimpleQueue()
        """Its items are free slots; a semaphore takes five times as long."""
        self._count = 0
        self._running = 0
        self._surplus = 0
        """Slots that are not passed on when they become free."""
        self._coming_back: deque[asyncio.Future[None]] = deque()
        self._starting: deque[asyncio.Future[None]] = deque()
        self.resize(count)

    def resize(self, by: int) -> None:
        """Add ``by`` slots, or remove slots as they become free."""
        self._count += by
        for _ in range(by):
            self._pass_on()
        self._surplus += max(-by, 0)

    def take(self) -> None:
        """Wait for a free slot, and take it for a message; from the feeder's thread."""
        self._free.get()

    def any_free(self) -> bool:
        return not self._free.empty()

    async def start(self) -> None:
        """Start a task in the slot that was taken for it, or in the next free one if another task has got that slot."""
        if self._surplus and self._running >= self._count:
            self._surplus -= 1
            await self._queue_up(self._starting)
        else:
            self._running += 1

    def leave(self) -> None:
        """Free the slot of a task that ran."""
        self._running -= 1
        self._pass_on()

    def _pass_on(self) -> None:
        if self._surplus:
            self._surplus -= 1
            return
        while self._coming_back or self._starting:
            waiting = (self._coming_back or self._starting).popleft()
            if not waiting.done():
                self._running += 1
                waiting.set_result(None)
                return
        self._free.put(None)

    async def come_back(self) -> None:
        """Wait for a free slot and take it, after the task has awaited results without one."""
        with suppress(Empty):
            self._free.get_nowait()
            self._running += 1
            return
        if self._running < self._count:
            self.come_back_at_once()
            return
        await self._queue_up(self._coming_back)

    async def _queue_up(self, line: deque[asyncio.Future[None]]) -> None:
        """Wait for a slot; it is taken at once where the wait is cancelled."""
        waiting = asyncio.get_running_loop().create_future()
        line.append(waiting)
        try:
            await waiting
        except BaseException:
            if waiting.cancelled():
                self.come_back_at_once()
            raise

    def come_back_at_once(self) -> None:
        """Continue although no slot is free; the next slot that becomes free is not given to another task."""
        self._running += 1
        self._surplus += 1


class TaskSlot:
    """The slot of one task."""

    def __init__(self, slots: CoroutineSlots, consumer: ConsumerLoop, number: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._slots = slots
        self._consumer = consumer
        self._number = number
        self._waits = 0
        self._over = False

    @property
    def awaits_results(self) -> bool:
        """Whether the task awaits results."""
        return self._waits > 0

    @asynccontextmanager
    async def awaiting(self) -> AsyncIterator[None]:
        """Within, another task may have the slot. Raises RuntimeError on another thread's loop, as ``get()`` does."""
        if asyncio.get_running_loop() is not self._loop:
            check_join_allowed()
            yield
            return
        self._go()
        try:
            yield
        except BaseException:
            if self._comes_back():
                self._slots.come_back_at_once()
            raise
        if self._comes_back():
            await self._slots.come_back()

    def _go(self) -> None:
        self._waits += 1
        if self._waits == 1 and not self._over:
            self._consumer.pause(self._number)
            self._slots.leave()

    def _comes_back(self) -> bool:
        """Note that one wait is over. Returns whether it was the last, so that the task needs its slot again."""
        self._waits -= 1
        if self._waits or self._over:
            return False
        self._consumer.resume(self._number)
        return True

    def end(self) -> None:
        """The task is over. Coroutines that it has started may still await results."""
        self._over = True
        if self._waits:
            self._consumer.resume(self._number)
        else:
            self._slots.leave()
