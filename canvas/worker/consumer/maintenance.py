"""The periodic duties of a worker: renew its leases, return the messages of dead workers, enqueue those that are due,
complete chords whose worker died first."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from math import inf
from random import uniform

from canvas.config.config import Config
from canvas.drivers.ports import Driver
from canvas.drivers.ports.broker import Broker
from canvas.drivers.ports.recovery import Recovery
from canvas.drivers.ports.values import HeartbeatReply
from canvas.execution.background import NEVER, BackgroundService, Repeated
from canvas.model.settlement import Orphan, ReadyChord
from canvas.telemetry import emit
from canvas.worker.consumer.lifetimes import SHORT, Looks
from canvas.worker.monitoring.shared_memory import Renewal

_ENQUEUE_EVERY = 0.05
"""Seconds between two moves of what is due, at least."""
_HELD_BACK_EVERY = (0.002, 0.01)
"""Seconds between two moves while messages are held back: where their lists have taken many, and few."""
_MANY = 50
"""So many messages are many of a move: their lists may be empty before the next."""
_ENQUEUED_AT_ONCE = 1000
_LOOK_EVERY = 1.0
"""Seconds after which to ask when the next deferred message is due, although none is expected."""
_SWEEP_EVERY = 2.0
_STALE_AFTER = 3.0
"""Seconds after which a chord that is ready is stale: the worker that made it ready has not completed it."""
_FEW = 8
"""Up to this many nodes, each does the duties for all at the full rate. More nodes divide them, so that a large fleet
asks no more of the broker than a small one."""


class Turns:
    """A node's turns at a duty that some node of the fleet should do regularly. They are random, so that the nodes do
    not take them all at once."""

    def __init__(self, share: Callable[[], float]) -> None:
        """``share``: what these seconds are multiplied by now."""
        self._share = share
        self._drawn = 1.0

    def draw(self) -> None:
        """A turn is over: draw when the next one comes."""
        self._drawn = uniform(0.5, 1.5)

    def stretched(self, seconds: float) -> float:
        """Seconds from one turn to the next. They are fewer where nodes have gone since the turn."""
        share = self._share()
        return seconds if share == 1.0 else seconds * share * self._drawn


class DueMessages:
    """Moves deferred messages into their queues when they are due."""

    def __init__(self, broker: Broker, looks: bool, share: Callable[[], float] = lambda: 1.0) -> None:
        """``looks``: also for what others have deferred; else only for what is expected within moments, before a
        process that looks can know of it. ``share``: see :class:`Turns`."""
        self._broker = broker
        self._looks = looks
        self._turns = Turns(share)
        self._looked = 0.0
        self._expected: deque[float] = deque()
        self._next = 0.0 if looks else NEVER
        self._held_back = False
        self._again_in = _HELD_BACK_EVERY[1]

    def expect(self, at: float) -> bool:
        """Note that a message is due ``at`` a time of the monotonic clock. Returns whether this object moves it then.
        Any thread may call."""
        mine = self._looks or at < time.monotonic() + 2 * _LOOK_EVERY
        if mine:
            self._expected.append(at)
        return mine

    def next(self) -> float:
        """When there may be something to do again."""
        while self._expected:
            self._next = min(self._next, self._expected.popleft())
        return min(self._next, self._looked + self._turns.stretched(_LOOK_EVERY)) if self._looks else self._next

    def tick(self, now: float) -> None:
        """Move what is due."""
        if now < self.next():
            return
        due_in = 0.0 if self._held_back else self._broker.next_due()
        if due_in is not None and due_in <= 0:
            while (moved := self._broker.enqueue_due(_ENQUEUED_AT_ONCE)) == _ENQUEUED_AT_ONCE:
                continue
            due_in = self._broker.next_due()
            self._held_back = due_in is not None and due_in <= 0
            soonest, latest = _HELD_BACK_EVERY
            self._again_in = max(soonest, self._again_in / 2) if moved >= _MANY else min(latest, self._again_in * 1.5)
        self._turns.draw()
        look = self._turns.stretched(_LOOK_EVERY) if self._looks else NEVER
        if due_in is not None and (self._looks or due_in < 2 * _LOOK_EVERY):
            look = min(look, max(due_in, self._turns.stretched(_ENQUEUE_EVERY if due_in > 0 else self._again_in)))
        self._looked, self._next = now, now + look


def renew(recovery: Recovery, worker: str, queues: list[str], ttl: float) -> tuple[HeartbeatReply, Renewal]:
    """Send a worker's heartbeat. Raises BrokerError."""
    sent, time_of_day = time.monotonic(), time.time()
    reply = recovery.heartbeat(worker, queues, ttl)
    return reply, Renewal(sent, time_of_day, reply.known, min(ttl, recovery.silence))


class LeaseHeartbeats:
    """Renews workers, and with them their leases, at the broker."""

    def __init__(
        self, recovery: Recovery, conf: Config, workers: Callable[[], list[str]], queues: list[str],
        declare: Callable[[], object], renewed: Callable[[str, Renewal], object],
    ) -> None:  # fmt: skip
        """``workers`` gives those to renew, which consume ``queues``; ``renewed`` is called with each that has been.
        ``declare`` makes the queues known again to a broker that has forgotten all it knew."""
        self._recovery = recovery
        self._workers = workers
        self._queues = queues
        self._every = min(beat_every(conf), recovery.silence / 2)
        self._ttl = conf.worker_lease_ttl
        self._declare = declare
        self._renewed = renewed
        self._known: set[str] = set()
        self.share = 1.0
        """How many times as long as in a small fleet this node waits from one turn at a shared duty to the next."""
        self.next = 0.0
        """When the next heartbeat is due, by the monotonic clock."""

    def tick(self, now: float) -> None:
        """Renew the workers, where it is due."""
        if now < self.next:
            return
        workers = self._workers()
        forgotten = [worker for worker in workers if self._renew(worker, len(workers))]
        if forgotten:
            emit("worker.reregistered", worker=", ".join(forgotten))
            self._declare()
        self.next = now + self._every

    def _renew(self, worker: str, of_node: int) -> bool:
        """Send the heartbeat of one of the workers ``of_node``. Returns whether the broker had forgotten it."""
        reply, renewal = renew(self._recovery, worker, self._queues, self._ttl)
        self._renewed(worker, renewal)
        # Only nodes do the duties. The others count as if they had as many workers each as this one.
        self.share = max(1.0, reply.workers / of_node / _FEW)
        forgotten = not reply.known and worker in self._known
        self._known.add(worker)
        return forgotten

    def renew_again(self) -> None:
        """The broker was unreachable: it may come back as a copy that does not know these workers."""
        self.next = 0.0

    def rested(self, worker: str) -> None:
        """The broker was asked to forget this worker."""
        self._known.discard(worker)


class Maintenance:
    """The periodic work of one node; ``tick`` does what is due and says how long to sleep."""

    def __init__(
        self,
        driver: Driver,
        heartbeats: LeaseHeartbeats,
        submit: Callable[[Sequence[ReadyChord | Orphan]], None] | None,
        lifetimes: Callable[[], float] = lambda: NEVER,
        delegate: Callable[[], object] | None = None,
    ) -> None:
        """``submit`` takes what dead workers have left unsettled; where this process runs no tasks, ``delegate`` has
        another one :meth:`adopt` it. ``lifetimes`` keeps what tasks and runs need, and returns the seconds until it is
        due again."""
        self._driver = driver
        self._heartbeats = heartbeats
        self._submit = submit
        self.lifetimes = Looks(lifetimes)
        self._delegate = delegate
        self._turns = Turns(lambda: heartbeats.share)
        self._swept = -inf
        self._due = DueMessages(driver.broker, looks=True, share=lambda: heartbeats.share)
        self.tick = Repeated("maintenance", self._do_due, after_failure=heartbeats.renew_again)
        """Do what is due. Returns the seconds until something is due again. An unreachable broker is tried again."""

    def expect(self, at: float) -> bool:
        """Note that a message is due at this monotonic time. Safe from any thread."""
        return self._due.expect(at)

    def _do_due(self) -> float:
        now = time.monotonic()
        self._heartbeats.tick(now)
        self._due.tick(now)
        if now >= self._next_sweep():
            self._sweep()
            self._swept = now
            self._turns.draw()
        self.lifetimes.tick(now)
        due = min(self._heartbeats.next, self._next_sweep(), self.lifetimes.next(), self._due.next())
        return max(0.0, due - time.monotonic())

    def _next_sweep(self) -> float:
        return self._swept + self._turns.stretched(_SWEEP_EVERY)

    def _sweep(self) -> None:
        recovery = self._driver.recovery
        returned = recovery.recover_dead_workers()
        self._driver.coordination.enqueue_blocked()
        if returned:
            emit("worker.leases_recovered", messages=returned)
        if self._delegate is None:
            self.adopt()
        elif recovery.has_orphans() or self._stale_chords():
            self._delegate()

    def adopt(self) -> None:
        """Offer what dead workers have left unsettled. Raises BrokerError."""
        if self._submit is not None:
            if self._driver.recovery.has_orphans():
                self._submit(self._driver.recovery.claim_orphans())
            self._submit(self._stale_chords())

    def _stale_chords(self) -> list[ReadyChord]:
        return self._driver.settler.stale_ready_chords(_STALE_AFTER) if self._driver.chords is not None else []


class ChildMaintenance:
    """The duties that a prefork child does itself; its parent does the others for all children."""

    def __init__(self, broker: Broker, lifetimes: Callable[[], float]) -> None:
        """``lifetimes``: as for :class:`Maintenance`, for the tasks and runs of this process."""
        self._due = DueMessages(broker, looks=False)
        self.lifetimes = Looks(lifetimes)
        self.tick = Repeated("maintenance", self._do_due)
        """Do what is due. Returns the seconds until something is due again."""

    def _do_due(self) -> float:
        now = time.monotonic()
        self._due.tick(now)
        self.lifetimes.tick(now)
        return max(0.0, min(self.lifetimes.next(), self._due.next()) - time.monotonic())

    def expect(self, at: float) -> bool:
        """See ``Maintenance``."""
        return self._due.expect(at)


def beat_every(conf: Config) -> float:
    """Seconds between heartbeats: ``worker_lease_heartbeat``, or less where leases would end before that: by
    ``worker_lease_ttl``, or as Celery's workers on the same queues restore messages (``visibility_timeout``)."""
    visible_again = conf.broker_transport_options.get("visibility_timeout")
    ttl = float(conf.worker_lease_ttl)
    lasting = min(ttl, float(visible_again or ttl))
    return min(float(conf.worker_lease_heartbeat), lasting / 3)


def holds_for(conf: Config) -> float:
    """Seconds after a heartbeat for which the worker stays registered at the broker at least."""
    return min(2 * beat_every(conf), 0.6 * float(conf.worker_lease_ttl))


class MaintenanceThread(BackgroundService):
    """Duties on a thread of their own, for a process that runs tasks."""

    def __init__(self, duties: Maintenance | ChildMaintenance) -> None:
        super().__init__("maintenance", self._do_duties)
        self._duties = duties
        self._sleeps_until = NEVER
        self.rests = False
        """Whether it sleeps for longer than while tasks run, or is about to."""

    def _do_duties(self) -> float:
        # A message that is expected from here on, and not seen by this tick, ends the sleep.
        self._sleeps_until, self.rests = NEVER, True
        seconds = self._duties.tick()
        self._sleeps_until, self.rests = time.monotonic() + seconds, seconds > SHORT
        return seconds

    def expect(self, seconds: float) -> None:
        """A message was deferred for ``seconds``."""
        at = time.monotonic() + seconds
        if self._duties.expect(at) and at < self._sleeps_until:
            self.wake()

    def expect_tasks(self) -> None:
        """Tasks are about to run: look after what they need once they have run for a moment."""
        self._duties.lifetimes.ask(time.monotonic() + SHORT)
        self.wake()
