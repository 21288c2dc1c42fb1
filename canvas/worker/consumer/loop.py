"""When rounds are made, and by whom: between the broker and the slots of one process.

Slots :meth:`~Exchange.take` work and hand back settlements with :meth:`Exchange.done`; nothing else in a worker
process talks to the broker about messages. The rounds are made on a thread of their own, beside what runs; a process
with one slot makes them on the slot's thread while that has nothing to run, which spares two changes of thread.
"""

import threading
import time
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import TypeVar

from canvas.drivers.ports import Driver
from canvas.drivers.ports.values import LeaseReply
from canvas.model.message import Delivery
from canvas.model.settlement import ChordDispatch, Orphan, ReadyChord, Settlement
from canvas.worker.consumer.batch import SettleBatch
from canvas.worker.consumer.buffer import Work
from canvas.worker.consumer.loop_sleep import LoopSleep
from canvas.worker.consumer.prefetch import PrefetchPolicy, QueueChange
from canvas.worker.consumer.wait import BrokerWait, Wait

T = TypeVar("T")
_IDLE_WAIT = 5.0
_CHANGED_WITHIN = 2.0
SIGNALS_WITHIN = 0.5
"""Seconds that a wait on the main thread lasts at most: signal handlers run there, whichever thread a signal ends."""


class ConsumerLoop(threading.Thread):
    """Has the rounds of one process made, on this thread or on its only slot's."""

    def __init__(
        self,
        driver: Driver,
        worker: str,
        queues: list[str],
        appetite: PrefetchPolicy,
        leased: Callable[[LeaseReply], None],
        held: dict[str, Delivery],
        alone: bool = False,
        wait: Wait | None = None,
    ) -> None:
        """``leased`` is called after each lease, before its messages are handed out; ``held`` takes them, by tag.

        ``alone``: there is one slot, for good, and it calls ``take``. ``wait``: how to wait; at the broker by default.
        """
        super().__init__(name="canvas-exchange", daemon=True)
        self.failure: BaseException | None = None
        self._waits = wait or BrokerWait(driver.broker)
        self._rounds = SettleBatch(driver, worker, queues, appetite, leased, held, alone, self._waits)
        self.work = self._rounds.backlog
        """The messages and chords that are leased and wait for a slot."""
        self._alone = alone
        self._turn = threading.Lock()
        self._sleep = LoopSleep(self._rounds, self._waits, alone)
        self._halted = False

    @property
    def begun(self) -> set[str]:
        """Tags of messages in the backlog that are acked already."""
        return self._rounds.begun

    def consult(
        self,
        acks_early: Callable[[Delivery], bool],
        foresee: Callable[[bytes], object],
        deferred: Callable[[float], None],
    ) -> None:
        """``acks_early``: whether a message may be acked before its turn. ``predecode`` decodes one that may come next.
        ``deferred`` gets the unix time at which a message that was just delayed is due."""
        self._rounds.acks_early, self._rounds.predecode, self._rounds.deferred = acks_early, foresee, deferred

    def persist(self, call: Callable[[], T]) -> T:
        """Repeat a call until the broker takes it: what is finished waits here, and is not run again."""
        return self._rounds.persist(call)

    def attempt(self, call: Callable[[], T]) -> T | None:
        """:meth:`persist`, but ``None`` where the broker is away and the process is to end."""
        return self._rounds.attempt(call)

    # -- for slots

    def take(self) -> Work | None:
        """The next piece of work, waited for; ``None`` when there is to be no more."""
        rounds = self._rounds
        while True:
            try:
                item = self.work.get_nowait()
            except Empty:
                if self._alone and not rounds.stopping and (rounds.queues or rounds.finished):
                    self._make_round_or_wait()
                    continue
                try:
                    item = self.work.get(timeout=SIGNALS_WITHIN)
                except Empty:
                    continue
            if not (rounds.stopping and isinstance(item, Delivery)):
                return item
            rounds.unstarted.append(item)

    def _make_round_or_wait(self) -> None:
        if not self._turn.acquire(timeout=SIGNALS_WITHIN):
            return
        try:
            if self._rounds.offers:
                self._rounds.hand_out_submitted()
            if self.work.empty() and not self._rounds.stopping and not self._rounds.make() and self._rounds.queues:
                self._sleep.until_messages(self._waits.idle_for)
        finally:
            self._turn.release()

    def begin(self, place: int) -> None:
        """A slot, known by a number of its own, starts a piece of work."""
        self._rounds.running[place] = time.monotonic()
        self._sleep.task_begins()

    def pause(self, place: int) -> None:
        """The slot's piece of work waits for another, which may have the slot meanwhile."""
        rounds = self._rounds
        rounds.away[place] = time.monotonic() - rounds.running.pop(place)
        self._sleep.rouse(urgent=True)

    def resume(self, place: int) -> None:
        """It goes on."""
        rounds = self._rounds
        rounds.running[place] = time.monotonic() - rounds.away.pop(place)

    @property
    def stopping(self) -> bool:
        """Whether nothing more is to start."""
        return self._rounds.stopping

    def done(self, place: int, settlement: Settlement | ChordDispatch | None) -> None:
        """The slot has finished its piece of work."""
        rounds = self._rounds
        took = time.monotonic() - rounds.running.pop(place)
        rounds.seconds_per_task += (took - rounds.seconds_per_task) * 0.1
        rounds.finished.append(settlement)
        self._sleep.rouse()

    def acknowledge(self, delivery: Delivery) -> bool:
        """Commit a message's ack before its task starts; False when the lease was lost.

        In a process with one slot those of the messages that start within milliseconds go with it.
        """
        return self.commit(Settlement(delivery, early_ack=True))

    def commit(self, settlement: Settlement) -> bool:
        """Commit one settlement now, and wait until that is done; False when the lease was lost."""
        answer: SimpleQueue[bool] = SimpleQueue()
        self._rounds.acks.append((settlement, answer))
        if not self._alone:
            self._sleep.rouse(urgent=True)
        while True:
            # A thread that waits for its own ack makes the round itself, unless another thread is making one.
            if self._alone and answer.empty() and self._turn.acquire(timeout=SIGNALS_WITHIN):
                try:
                    if answer.empty():
                        self._rounds.make()
                finally:
                    self._turn.release()
            try:
                return answer.get(timeout=SIGNALS_WITHIN)
            except Empty:
                continue

    # -- for the process

    def stop(self) -> None:
        """Lease nothing more, give back what has not started, settle what runs, then end. Safe in signals."""
        self._rounds.stopping = True
        self._sleep.end()

    def consume(self, queues: Sequence[str]) -> bool:
        """Lease from these queues only; returns when that is so, False when it takes long. Safe from any thread."""
        change = QueueChange(list(queues))
        self._rounds.change = change
        self._sleep.rouse(urgent=True)
        return change.done.wait(_CHANGED_WITHIN)

    def resize(self, by: int) -> None:
        """So many slots more, or fewer."""
        appetite = self._rounds.appetite
        self._rounds.appetite = appetite._replace(slots=appetite.slots + by)
        self._sleep.rouse(urgent=True)

    def expect_nothing(self) -> None:
        """Wait before the first lease: there were no messages a moment ago."""
        self._rounds.last_poll_short = True

    def shed(self, slots: int) -> None:
        """Give ``None`` instead of work to this number of slots: they are to end."""
        for _ in range(slots):
            self.work.put(None)

    def halt(self) -> None:
        """Do nothing more, whatever is unfinished; returns when the thread has ended."""
        self._halted = True
        self.stop()
        self.join(timeout=5)

    def offer(self, work: Sequence[ReadyChord | Orphan]) -> None:
        """Chords to complete, orphans to settle. Safe from any thread."""
        if work:
            self._rounds.offers.extend(work)
            self._sleep.rouse(urgent=True)

    # -- the thread

    def run(self) -> None:
        """Exchange with the broker until stopped and everything is settled."""
        try:
            while self._again():
                if self._alone and self.work.empty():
                    self._sleep.stand_by()
                if not self.work.empty():
                    self._sleep.linger()
        except BaseException as exc:
            self.failure = exc
            raise
        finally:
            for _ in range(self._rounds.appetite.slots):
                self.work.put(None)

    def _again(self) -> bool:
        """Make a round, or wait for a reason for one; False when all is done."""
        with self._turn:
            if self._halted or (self._rounds.stopping and self._rounds.over()):
                return False
            if not self._rounds.make() and not self._alone:
                if self._rounds.want():
                    self._sleep.until_messages(_IDLE_WAIT)
                else:
                    self._sleep.until_finished()
            return True
