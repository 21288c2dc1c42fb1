"""When rounds are made, and on which thread: between the broker and the slots of one process.

Slots ask for :meth:`~ConsumerLoop.next_work` and hand back settlements with :meth:`~ConsumerLoop.complete`. Nothing
else in a worker process talks to the broker about messages. A round settles what is finished, and leases what the slots
need.
"""

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from queue import Empty, SimpleQueue
from typing import TypeVar

from canvas.model.message import Delivery
from canvas.model.settlement import ChordDispatch, Orphan, ReadyChord, Settlement
from canvas.worker.consumer.batch import SettleBatch
from canvas.worker.consumer.buffer import DueBatch, Kept, KeptMessages, NoWork, Work
from canvas.worker.consumer.loop_parts import LoopParts
from canvas.worker.consumer.loop_sleep import MANY_SLOTS, ONE_SLOT, LoopSleep, State, Table
from canvas.worker.consumer.prefetch import QueueChange

T = TypeVar("T")
_IDLE_WAIT = 5.0
_CHANGED_WITHIN = 2.0
SIGNALS_WITHIN = 0.5
"""Seconds that a wait on the main thread lasts at most: signal handlers run there, whichever thread a signal ends."""


class ConsumerLoop(threading.Thread, ABC):
    """Has the rounds of one process made; what both kinds of loop share."""

    one_slot = False

    def __init__(self, parts: LoopParts, table: Table) -> None:
        super().__init__(name="canvas-loop", daemon=True)
        self.failure: BaseException | None = None
        self._batch = SettleBatch(parts, self.one_slot)
        self.work = self._batch.buffer
        """The messages and chords that are leased and wait for a slot."""
        self.early_acked = self._batch.early_acked
        """Tags of messages that are acked, and whose tasks have not started yet."""
        self._sleep = LoopSleep(table, self._batch, parts.wait)
        self._aborted = False

    def set_hooks(
        self, acks_early: Callable[[Delivery], bool], deferred: Callable[[float], None],
        expect: Callable[[bytes], object],
    ) -> None:  # fmt: skip
        """``acks_early``: whether a message may be acked before its turn. ``deferred`` gets the unix time at which a
        message that was just delayed is due. ``expect``: see ``Lease``."""
        batch = self._batch
        batch.acks_early, batch.deferred, batch.expect = acks_early, deferred, expect

    def persist(self, call: Callable[[], T]) -> T:
        """Repeat a call until the broker takes it: what is finished waits here, and is not run again."""
        return self._batch.persist(call)

    def attempt(self, call: Callable[[], T]) -> T | None:
        """:meth:`persist`, but ``None`` where the broker is unreachable and the process is to end."""
        return self._batch.attempt(call)

    @abstractmethod
    def next_work(self) -> Work | NoWork:
        """The next piece of work that is leased. It does no I/O."""

    @abstractmethod
    def work_for_loop(self) -> None:
        """The part of the loop that a slot without work does on its own thread."""

    def _taken(self, item: Work | None) -> Work | NoWork:
        """An item of the buffer, for a slot: a process that stops starts nothing more."""
        if item is None:
            return NoWork.EVER
        if self._batch.stopping and type(item) is Delivery:
            self._batch.unstarted.append(item)
            return NoWork.YET
        return item

    def begin(self, slot: int) -> None:
        """A slot, known by a number of its own, starts a piece of work."""
        self._batch.running[slot] = time.monotonic()
        if self._sleep.ended_by_start:
            self._sleep.task_starts()

    def pause(self, slot: int) -> None:
        """The slot's piece of work waits for another, which may have the slot meanwhile."""
        batch = self._batch
        batch.paused[slot] = time.monotonic() - batch.running.pop(slot)
        self._sleep.urgent()

    def resume(self, slot: int) -> None:
        """The slot's piece of work goes on after a ``pause``."""
        batch = self._batch
        batch.running[slot] = time.monotonic() - batch.paused.pop(slot)

    @property
    def stopping(self) -> bool:
        """Whether nothing more is to start."""
        return self._batch.stopping

    def complete(self, slot: int, settlement: Settlement | ChordDispatch | Kept | None) -> None:
        """The slot has finished its piece of work, or keeps it for later."""
        batch = self._batch
        took = time.monotonic() - batch.running.pop(slot)
        if settlement is not Kept.FOR_LATER:
            batch.seconds_per_task += (took - batch.seconds_per_task) * 0.1
            batch.finished.append(settlement)
        if not self.one_slot or not self.work.empty():
            self._sleep.task_ends()

    def finish(self, settlements: Iterable[Settlement | None]) -> None:
        """The slot that asks has finished work that was kept."""
        self._batch.finished.extend(settlements)

    def keep_in(self, kept: KeptMessages) -> None:
        """Slots keep messages for later; those in ``kept`` occupy none of them, and are returned at a stop."""
        self._batch.kept = kept

    def acknowledge(self, delivery: Delivery) -> bool:
        """Commit a message's ack before its task starts; False when the lease was lost.

        In a process with one slot those of the messages that start within milliseconds go with it.
        """
        return self.commit(Settlement(delivery, early_ack=True))

    def commit(self, settlement: Settlement) -> bool:
        """Commit one settlement now, and wait until that is done; False when the lease was lost."""
        answer: SimpleQueue[bool] = SimpleQueue()
        self._batch.acks.append((settlement, answer))
        self._sleep_less()
        while True:
            self._help(answer)
            try:
                return answer.get(timeout=SIGNALS_WITHIN)
            except Empty:
                continue

    def _sleep_less(self) -> None:
        """Have the thread make a round at once, if the thread makes the rounds."""
        self._sleep.urgent()

    def _help(self, answer: "SimpleQueue[bool]") -> None:
        """Make the round that brings the answer, if the waiting thread makes rounds."""

    def stop(self) -> None:
        """Lease nothing more, give back messages that have not started, settle running tasks, end. Safe in signals."""
        self._batch.stopping = True
        self._sleep.end()

    def consume(self, queues: Sequence[str]) -> bool:
        """Lease from these queues only; returns when that is so, False when it takes long. Safe from any thread."""
        change = QueueChange(list(queues))
        self._batch.change = change
        self._sleep.urgent()
        return change.done.wait(_CHANGED_WITHIN)

    def resize(self, by: int) -> None:
        """Add ``by`` slots, or remove slots if ``by`` is negative."""
        policy = self._batch.policy
        self._batch.policy = policy._replace(slots=policy.slots + by)
        self._sleep.urgent()

    def expect_nothing(self) -> None:
        """Wait before the first lease: there were no messages a moment ago."""
        self._batch.last_poll_short = True

    def end_slots(self, slots: int) -> None:
        """End this number of slots, when they ask for work."""
        for _ in range(slots):
            self.work.put(None)

    def abort(self) -> None:
        """Do nothing more, whatever is unfinished; returns when the thread has ended."""
        self._aborted = True
        self.stop()
        self.join(timeout=5)

    def unstarted_chords(self) -> list[ReadyChord]:
        """After ``abort``: the chords that nothing in this process is going to end."""
        waiting = [*self._batch.submitted, *self.work.first(self.work.qsize())]
        return [work for work in waiting if isinstance(work, ReadyChord)]

    def submit(self, work: Sequence[ReadyChord | Orphan | DueBatch]) -> None:
        """Chords to complete, orphans to settle, batches to run. Safe from any thread."""
        if work:
            self._batch.submitted.extend(work)
            self._sleep.urgent()

    def run(self) -> None:
        """Exchange with the broker until stopped and everything is settled."""
        try:
            while self._go_on():
                if self._batch.buffered:
                    self._sleep.sleep(State.LINGERING)
        except BaseException as exc:
            self.failure = exc
            raise
        finally:
            self.end_slots(self._batch.policy.slots)

    @abstractmethod
    def _go_on(self) -> bool:
        """Make a round, or wait for a reason for one; False when all is done."""

    def _over(self) -> bool:
        return self._aborted or (self._batch.stopping and self._batch.over())


class ThreadedLoop(ConsumerLoop):
    """The loop of a process with several slots: its thread makes every round, while the slots run tasks."""

    def __init__(self, parts: LoopParts) -> None:
        super().__init__(parts, MANY_SLOTS)

    def next_work(self) -> Work | NoWork:
        """Like ``ConsumerLoop``; it waits for work for half a second."""
        try:
            return self._taken(self.work.get(timeout=SIGNALS_WITHIN))
        except Empty:
            return NoWork.YET

    def work_for_loop(self) -> None:
        """Nothing: the thread makes the rounds."""

    def _go_on(self) -> bool:
        if self._over():
            return False
        if self._batch.make():
            return True
        if self._batch.prefetch_demand():
            self._sleep.until_messages(_IDLE_WAIT)
        else:
            self._sleep.sleep(State.SLOTS_BUSY)
        return True


class InlineLoop(ConsumerLoop):
    """The loop of a process with one slot, for good: the slot makes the rounds on its own thread while it has no task,
    which spares two changes of thread. The loop's thread makes those that come due while the slot runs a task."""

    one_slot = True

    def __init__(self, parts: LoopParts) -> None:
        super().__init__(parts, ONE_SLOT)
        self._idle_for = parts.wait.idle_for
        self._lock = threading.Lock()
        """Held by the thread that makes a round."""

    def next_work(self) -> Work | NoWork:
        """Like ``ConsumerLoop``. While the thread makes the rounds, it waits for work for half a second."""
        try:
            item = self.work.get(timeout=SIGNALS_WITHIN) if self._thread_makes_rounds else self.work.get_nowait()
        except Empty:
            return NoWork.YET
        return self._taken(item)

    @property
    def _thread_makes_rounds(self) -> bool:
        """Whether the process stops, or has no queues."""
        batch = self._batch
        return batch.stopping or not (batch.queues or batch.finished)

    def work_for_loop(self) -> None:
        """Make a round, or wait for messages."""
        batch = self._batch
        if not self._thread_makes_rounds and self._lock.acquire(timeout=SIGNALS_WITHIN):
            try:
                if batch.submitted:
                    batch.hand_out_submitted()
                if not batch.buffered and not batch.stopping and not batch.make() and batch.queues:
                    self._sleep.until_messages(self._idle_for)
            finally:
                self._lock.release()

    def _sleep_less(self) -> None:
        """Nothing: the thread that waits for the commit makes the round."""

    def _help(self, answer: "SimpleQueue[bool]") -> None:
        """Make the round, unless another thread is making one."""
        if answer.empty() and self._lock.acquire(timeout=SIGNALS_WITHIN):
            try:
                if answer.empty():
                    self._batch.make()
            finally:
                self._lock.release()

    def _go_on(self) -> bool:
        with self._lock:
            if self._over():
                return False
            self._batch.make()
        if not self._batch.buffered:
            self._sleep.sleep(State.STANDING_BY if self._batch.running else State.IDLE)
        return True
