"""The I/O thread: settles what the slots have finished and leases what they will need, in one call.

Slots take work from :attr:`Exchange.work` and hand back settlements with :meth:`Exchange.done`; nothing else in
a worker process talks to the broker about messages.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import NamedTuple, TypeAlias, TypeVar

from canvas.drivers.base import Driver, Lease
from canvas.errors import BrokerError
from canvas.model.message import Delivery
from canvas.model.settlement import Firing, Orphan, Ready, Settlement, Verdict
from canvas.telemetry import emit

Work: TypeAlias = Delivery | Ready | Orphan
T = TypeVar("T")
_LINGER = 0.002
_IDLE_WAIT = 5.0
_STUCK_AFTER = 0.2
_CHANGED_WITHIN = 2.0


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
    ) -> None:
        """``leased`` is called after each lease, before its messages are handed out; ``held`` takes them, by tag."""
        super().__init__(name="canvas-exchange", daemon=True)
        self.work: SimpleQueue[Work | None] = SimpleQueue()
        self.worker = worker
        self.seconds_per_task = 0.0
        self.failure: BaseException | None = None
        self._driver = driver
        self._queues = deque(queues)
        self._change: _Change | None = None
        self._appetite = appetite
        self._leased = leased
        self._held = held
        self._finished: deque[Settlement | Firing | None] = deque()
        self._offers: deque[Ready | Orphan] = deque()
        self._outstanding = 0
        self._acks: deque[tuple[Settlement, SimpleQueue[bool]]] = deque()
        self._running: dict[int, float] = {}
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._asleep = ""
        self._stopping = False
        self._halted = False
        self._empty_handed = False

    # -- for slots

    def begin(self, place: int) -> None:
        """A slot, known by a number of its own, starts a piece of work."""
        self._running[place] = time.monotonic()

    def done(self, place: int, settlement: Settlement | Firing | None) -> None:
        """The slot has finished its piece of work."""
        took = time.monotonic() - self._running.pop(place)
        self.seconds_per_task += (took - self.seconds_per_task) * 0.1
        self._finished.append(settlement)
        self._rouse()

    def acknowledge(self, delivery: Delivery) -> bool:
        """Commit a message's ack before its task starts; False when the lease was lost."""
        return self.commit(Settlement(delivery, begins=True))

    def commit(self, settlement: Settlement) -> bool:
        """Commit one settlement now, and wait until that is done; False when the lease was lost."""
        answer: SimpleQueue[bool] = SimpleQueue()
        self._acks.append((settlement, answer))
        self._rouse(urgent=True)
        return answer.get()

    def _rouse(self, urgent: bool = False) -> None:
        if self._asleep == "broker":
            self._driver.broker.interrupt()
        elif self._asleep == "slots" or (self._asleep == "linger" and (urgent or self._enough())):
            self._wake.put(None)

    def _enough(self) -> bool:
        return len(self._finished) >= self._appetite.batch // 2 or self.work.empty()

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
            while not self._over():
                self._round()
        except BaseException as exc:
            self.failure = exc
            raise
        finally:
            for _ in range(self._appetite.slots):
                self.work.put(None)

    def _over(self) -> bool:
        if self._halted or not self._stopping:
            return self._halted
        self._give_back()
        return not (self._outstanding or self._finished or self._acks)

    def _round(self) -> None:
        change, self._change = self._change, None
        if change is not None:
            self._queues = deque(change.queues)
            self.persist(lambda: self._driver.broker.end_waits(self.worker))
            change.done.set()
        while self._offers and not self._stopping:
            self._hand_out(self._offers.popleft())
        self._make_way()
        batch, answers = self._take_finished()
        want = 0 if self._stopping else self._want()
        if batch or answers or (want and not self._empty_handed):
            self._exchange(batch, answers, want)
        elif want:
            self._wait_for_messages()
        else:
            self._wait_for_slots()
        if not self.work.empty() and not self._finished:
            self._linger()

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
        lease = Lease(self.worker, tuple(self._queues), want) if want else None
        settled = self.persist(lambda: self._driver.completer.settle([*acks, *settlements], lease, firings))
        verdicts = settled.verdicts
        emit("exchange.settled", settled=len(verdicts), leased=len(settled.deliveries))
        for (_, answer), verdict in zip(answers, verdicts, strict=False):
            self.offer(verdict.ready)
            answer.put(verdict.held)
        for settlement, verdict in zip(settlements, verdicts[len(acks) :], strict=True):
            self._concluded(settlement, verdict)
        for verdict in settled.fired:
            self.offer(verdict.ready)
        if settled.deliveries:
            self.persist(self._leased)
        for delivery in settled.deliveries:
            self._hand_out(delivery)
        self._empty_handed = lease is not None and len(settled.deliveries) < want
        self._queues.rotate(-1)

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

    def _wait_for_messages(self) -> None:
        self._asleep = "broker"
        try:
            if not self._finished and not self._acks and not self._stopping and self._change is None:
                patience = _STUCK_AFTER if self._running else _IDLE_WAIT
                self._driver.broker.wait(self.worker, tuple(self._queues), patience)
        except BrokerError as exc:
            emit("broker.unreachable", error=str(exc))
            time.sleep(0.5)
        finally:
            self._asleep = ""
        self._empty_handed = False

    def _wait_for_slots(self) -> None:
        self._sleep("slots", _STUCK_AFTER)

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
            if not self._acks and not self._stopping and not self._finished and self._change is None:
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
            else:
                self._offers.append(item)
        for _ in range(leaving):
            self.work.put(None)
        if unstarted:
            self.persist(lambda: self._driver.broker.give_back(unstarted))
