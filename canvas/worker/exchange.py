"""The rounds of a worker process: each settles what the slots have finished and leases what they will need, in one
call.

Slots :meth:`~Exchange.take` work and hand back settlements with :meth:`Exchange.done`; nothing else in a worker
process talks to the broker about messages. The rounds are made on a thread of their own, beside what runs; a process
with one slot makes them on the slot's thread while that has nothing to run, which spares two changes of thread.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import NamedTuple, TypeVar

from canvas.drivers.base import Driver, Lease
from canvas.errors import BrokerError
from canvas.model.message import Delivery
from canvas.model.settlement import Firing, Orphan, Ready, Settlement, Verdict
from canvas.telemetry import emit
from canvas.worker.backlog import Backlog, Work

T = TypeVar("T")
_LINGER = 0.005
_IDLE_WAIT = 5.0
_STUCK_AFTER = 0.2
_CHANGED_WITHIN = 2.0
_ACKED_AHEAD = 32
_ACKED_WITHIN = 0.005
"""Messages, and seconds of work, that are acked at most before they start, where they are acked before they run."""
SIGNALS_WITHIN = 0.5
"""Seconds after which a wait on the main thread ends by itself: a signal's handler runs there, but the signal may have
interrupted another thread."""


class Appetite(NamedTuple):
    """How much a process takes at once."""

    slots: int
    batch: int
    """Settlements in one call, at most."""
    seconds: float
    """How many seconds of work to hold beyond what runs."""
    limit: int
    """Messages held beyond what runs, at most."""


class _Change:
    """Other queues to lease from."""

    def __init__(self, queues: list[str]) -> None:
        self.queues = queues
        self.done = threading.Event()


class Exchange(threading.Thread):
    """Between the broker and the slots of one process."""

    def __init__(
        self,
        driver: Driver,
        worker: str,
        queues: list[str],
        appetite: Appetite,
        leased: Callable[[], None],
        held: dict[str, Delivery],
        alone: bool = False,
    ) -> None:
        """``leased`` is called after each lease, before its messages are handed out; ``held`` takes them, by tag.

        ``alone``: there is one slot, for good, and it calls ``take``.
        """
        self.acks_early: Callable[[Delivery], bool] = lambda delivery: False
        """Whether nothing stands between a leased message and its ack but that its turn has not come."""
        self.begun: set[str] = set()
        """Tags of messages in the backlog that are acked already."""
        super().__init__(name="canvas-exchange", daemon=True)
        self.work = Backlog()
        self.worker = worker
        self.seconds_per_task = 0.0
        self.failure: BaseException | None = None
        self._driver = driver
        self._queues = deque(queues)
        self._change: _Change | None = None
        self._appetite = appetite
        self._leased = leased
        self._held = held
        self._alone = alone
        self._turn = threading.Lock()
        self._finished: deque[Settlement | Firing | None] = deque()
        self._offers: deque[Ready | Orphan] = deque()
        self._outstanding = 0
        self._acks: deque[tuple[Settlement, SimpleQueue[bool]]] = deque()
        self._running: dict[int, float] = {}
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._asleep = ""
        self._at_broker = False
        self._stopping = False
        self._halted = False
        self._empty_handed = False
        self._looked = 0.0
        """When it last asked for messages."""

    # -- for slots

    def take(self) -> Work | None:
        """The next piece of work, waited for; ``None`` when there is to be no more."""
        while True:
            try:
                return self.work.get_nowait()
            except Empty:
                pass
            if self._alone and not self._stopping and (self._queues or self._finished):
                self._make_round_or_wait()
                continue
            try:
                return self.work.get(timeout=SIGNALS_WITHIN)
            except Empty:
                continue

    def _make_round_or_wait(self) -> None:
        if not self._turn.acquire(timeout=SIGNALS_WITHIN):
            return
        try:
            self._hand_out_offers()
            if self.work.empty() and not self._stopping and not self._round() and self._queues:
                self._wait_for_messages(SIGNALS_WITHIN)
        finally:
            self._turn.release()

    def begin(self, place: int) -> None:
        """A slot, known by a number of its own, starts a piece of work."""
        self._running[place] = time.monotonic()
        if self._asleep == "idle":
            self._wake.put(None)

    def done(self, place: int, settlement: Settlement | Firing | None) -> None:
        """The slot has finished its piece of work."""
        took = time.monotonic() - self._running.pop(place)
        self.seconds_per_task += (took - self.seconds_per_task) * 0.1
        self._finished.append(settlement)
        self._rouse()

    def acknowledge(self, delivery: Delivery) -> bool:
        """Commit a message's ack before its task starts; False when the lease was lost.

        In a process with one slot those of the messages that start within milliseconds go with it.
        """
        return self.commit(Settlement(delivery, begins=True))

    def commit(self, settlement: Settlement) -> bool:
        """Commit one settlement now, and wait until that is done; False when the lease was lost."""
        answer: SimpleQueue[bool] = SimpleQueue()
        self._acks.append((settlement, answer))
        if not self._alone:
            self._rouse(urgent=True)
        while True:
            # Who waits for its own ack makes the round itself, as soon as nobody else does.
            if self._alone and answer.empty() and self._turn.acquire(timeout=SIGNALS_WITHIN):
                try:
                    if answer.empty():
                        self._round()
                finally:
                    self._turn.release()
            try:
                return answer.get(timeout=SIGNALS_WITHIN)
            except Empty:
                continue

    def _rouse(self, urgent: bool = False) -> None:
        if self._at_broker:
            self._driver.broker.interrupt()
        elif self._asleep and (urgent or self._is_due()):
            self._wake.put(None)

    def _is_due(self) -> bool:
        """Whether what has just been finished is a reason for a round on the thread, however that sleeps."""
        if self._asleep == "linger" and not self._enough():
            return not self._alone and self.work.empty()
        # The only slot makes its next round itself when it has no work left.
        return not self._alone or not self.work.empty()

    def _enough(self) -> bool:
        """Whether so much is finished that it need not wait for company."""
        return len(self._finished) >= self._appetite.batch // 2

    # -- for the process

    def stop(self) -> None:
        """Lease nothing more, give back what has not started, settle what runs, then end. Safe in signals."""
        self._stopping = True
        self._wake.put(None)
        self._driver.broker.interrupt()

    def consume(self, queues: Sequence[str]) -> bool:
        """Lease from these queues only; returns when that is so, False when it takes long. Safe from any thread."""
        change = _Change(list(queues))
        self._change = change
        self._rouse(urgent=True)
        return change.done.wait(_CHANGED_WITHIN)

    def resize(self, by: int) -> None:
        """So many slots more, or fewer."""
        self._appetite = self._appetite._replace(slots=self._appetite.slots + by)
        self._rouse(urgent=True)

    def shed(self, slots: int) -> None:
        """Let so many slots have ``None`` instead of work: they are to end."""
        for _ in range(slots):
            self.work.put(None)

    def halt(self) -> None:
        """Do nothing more, whatever is unfinished; returns when the thread has ended."""
        self._halted = True
        self.stop()
        self.join(timeout=5)

    def offer(self, work: Sequence[Ready | Orphan]) -> None:
        """Chords to fire, orphans to settle. Safe from any thread."""
        if work:
            self._offers.extend(work)
            self._rouse(urgent=True)

    # -- the thread

    def run(self) -> None:
        """Exchange with the broker until stopped and everything is settled."""
        try:
            while self._again():
                if self._alone and self.work.empty():
                    self._stand_by()
                if not self.work.empty():
                    self._linger()
        except BaseException as exc:
            self.failure = exc
            raise
        finally:
            for _ in range(self._appetite.slots):
                self.work.put(None)

    def _again(self) -> bool:
        """Make a round, or wait for a reason for one; False when all is done."""
        with self._turn:
            if self._over():
                return False
            if not self._round() and not self._alone:
                if self._want():
                    self._wait_for_messages(_IDLE_WAIT)
                else:
                    self._sleep("slots", _STUCK_AFTER)
            return True

    def _over(self) -> bool:
        if self._halted or not self._stopping:
            return self._halted
        self._give_back()
        return not (self._outstanding or self._finished or self._acks)

    def _round(self) -> bool:
        """Settle and lease; whoever calls has the turn. False when there was nothing to do."""
        change, self._change = self._change, None
        if change is not None:
            self._queues = deque(change.queues)
            self.persist(lambda: self._driver.broker.end_waits(self.worker))
            change.done.set()
        self._hand_out_offers()
        self._make_way()
        batch, answers = self._take_finished()
        want = 0 if self._stopping else self._want()
        if not (batch or answers or (want and not self._empty_handed)):
            return False
        self._exchange(batch, answers, want)
        return True

    def _hand_out_offers(self) -> None:
        while self._offers and not self._stopping:
            self._hand_out(self._offers.popleft())

    def _take_finished(
        self,
    ) -> tuple[list[Settlement | Firing], list[tuple[Settlement, "SimpleQueue[bool]"]]]:
        batch: list[Settlement | Firing] = []
        while self._finished and len(batch) < self._appetite.batch:
            item = self._finished.popleft()
            self._outstanding -= 1
            if item is not None:
                batch.append(item)
                if isinstance(item, Settlement) and item.delivery is not None:
                    self._held.pop(item.delivery.tag, None)
        answers = [self._acks.popleft() for _ in range(len(self._acks))]
        return batch, answers

    def _want(self) -> int:
        """How many messages to ask for: a free slot's worth, and some milliseconds of work beyond."""
        if not self._queues:
            return 0
        appetite, held = self._appetite, self.work.qsize()
        free = max(0, appetite.slots - (self._outstanding - held))
        pace = self.seconds_per_task
        ahead = appetite.limit if pace <= 0 else int(appetite.seconds * appetite.slots / pace)
        if pace <= 0:
            ahead = min(ahead, appetite.slots)
        return max(0, free + min(ahead, appetite.limit) - held)

    def _exchange(
        self,
        batch: list[Settlement | Firing],
        answers: list[tuple[Settlement, "SimpleQueue[bool]"]],
        want: int,
    ) -> None:
        settlements = [item for item in batch if isinstance(item, Settlement)]
        firings = [item for item in batch if isinstance(item, Firing)]
        acks = [settlement for settlement, _ in answers]
        soon = self._soon() if self._alone and any(ack.begins for ack in acks) else []
        lease = Lease(self.worker, tuple(self._queues), want) if want else None
        settled = self.persist(lambda: self._driver.completer.settle([*acks, *soon, *settlements], lease, firings))
        verdicts = settled.verdicts
        emit("exchange.settled", settled=len(verdicts), leased=len(settled.deliveries))
        for (_, answer), verdict in zip(answers, verdicts, strict=False):
            self.offer(verdict.ready)
            answer.put(verdict.held)
        verdicts = verdicts[len(acks) :]
        self.begun.update(
            ack.delivery.tag for ack, verdict in zip(soon, verdicts, strict=False) if ack.delivery and verdict.held
        )
        for settlement, verdict in zip(settlements, verdicts[len(soon) :], strict=True):
            self._concluded(settlement, verdict)
        for verdict in settled.fired:
            self.offer(verdict.ready)
        if settled.deliveries:
            self.persist(self._leased)
        for delivery in settled.deliveries:
            self._hand_out(delivery)
        if lease is not None:
            self._looked = time.monotonic()
        self._empty_handed = lease is not None and len(settled.deliveries) < want
        self._queues.rotate(-1)

    def _soon(self) -> list[Settlement]:
        """Acks of the messages that the only slot starts next, as far as nothing else holds them back; it waits for
        them, and so takes none meanwhile."""
        pace = self.seconds_per_task
        count = min(_ACKED_AHEAD, int(_ACKED_WITHIN / pace)) if pace > 0 else 0
        found = []
        for item in self.work.first(count):
            if not isinstance(item, Delivery) or not self.acks_early(item):
                break
            if item.tag not in self.begun:
                found.append(Settlement(item, begins=True))
        return found

    def _hand_out(self, item: Work) -> None:
        self._outstanding += 1
        if isinstance(item, Delivery):
            self._held[item.tag] = item
        self.work.put(item)

    def _concluded(self, settlement: Settlement, verdict: Verdict) -> None:
        if not verdict.held and settlement.delivery is not None:
            emit("worker.lease_lost", tag=settlement.delivery.tag, queue=settlement.delivery.queue)
        self.offer(verdict.ready)

    def persist(self, call: Callable[[], T]) -> T:
        """Repeat a call until the broker takes it: what is finished waits here, and is not run again."""
        delay, told = 0.1, False
        while True:
            try:
                answer = call()
            except BrokerError as exc:
                if not told:
                    emit("broker.unreachable", error=str(exc))
                    told = True
                time.sleep(delay)
                delay = min(delay * 2, 5.0)
            else:
                if told:
                    emit("broker.recovered")
                return answer

    # -- waiting

    def _wait_for_messages(self, patience: float) -> None:
        arrived, self._at_broker = False, True
        try:
            if not (self._finished or self._acks or self._offers or self._stopping or self._change):
                patience = _STUCK_AFTER if self._running else patience
                arrived = self._driver.broker.wait(self.worker, tuple(self._queues), patience)
        except BrokerError as exc:
            emit("broker.unreachable", error=str(exc))
            time.sleep(0.5)
        finally:
            self._at_broker = False
        if arrived or time.monotonic() - self._looked >= _IDLE_WAIT:
            self._empty_handed = False

    def _stand_by(self) -> None:
        """The only slot makes the rounds, unless it runs something for long."""
        if self._running:
            self._sleep("stand by", _STUCK_AFTER)
        else:
            self._sleep("idle", _IDLE_WAIT)

    def _make_way(self) -> None:
        """When what runs turns out long: leases that would wait behind it go back, for others to run."""
        running = time.monotonic() - min(list(self._running.values()), default=time.monotonic())
        if running < _STUCK_AFTER or len(self._running) < self._appetite.slots:
            return
        self.seconds_per_task = max(self.seconds_per_task, running)
        if not self.work.empty():
            self._give_back()
        self.persist(lambda: self._driver.broker.return_inbox(self.worker))

    def _linger(self) -> None:
        """Work is at hand: let a few results come together before the next call."""
        self._sleep("linger", _LINGER)

    def _sleep(self, kind: str, seconds: float) -> None:
        self._asleep = kind
        try:
            while not self._wake.empty():  # calls for an earlier round; what they were for is looked at below
                self._wake.get_nowait()
            if kind == "stand by" and self._finished:
                seconds = _LINGER
            due = self._enough() if kind == "linger" else self._finished and not self._alone
            if not (due or self._acks or self._offers or self._stopping or self._change):
                self._wake.get(timeout=seconds)
            elif self._stopping and self._running and not self._finished and not self._acks:
                self._wake.get(timeout=0.05)
        except Empty:
            return
        finally:
            self._asleep = ""

    def _give_back(self) -> None:
        """Return the leases of what has not started."""
        unstarted: list[Delivery] = []
        leaving = 0
        while True:
            try:
                item = self.work.get_nowait()
            except Empty:
                break
            if item is None:
                leaving += 1
                continue
            self._outstanding -= 1
            if isinstance(item, Delivery):
                unstarted.append(item)
                self._held.pop(item.tag, None)
                self.begun.discard(item.tag)
            else:
                self._offers.append(item)
        for _ in range(leaving):
            self.work.put(None)
        if unstarted:
            self.persist(lambda: self._driver.broker.give_back(unstarted))
