"""The seam between canvas and the servers it talks to: what a driver is.

A driver has three faces. :class:`Broker` keeps messages, :class:`Results` keeps records and chords,
:class:`Settler` commits settlements across both. Everything here speaks in bytes and in the words of
``canvas.model``; no driver knows what a task is. Every driver passes ``canvas.testing.contract``.

Threads: every method may be called from any thread. Methods named ``a…`` are coroutines with the same
contract. Errors: an unreachable server raises :class:`canvas.errors.OperationalError`, after the driver's own
retries; a refused request raises :class:`canvas.errors.BrokerError`.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, TypeAlias

from canvas.model.message import Delivery, Publish
from canvas.model.settlement import (
    ChordDispatch,
    ChordStart,
    Orphan,
    ReadyChord,
    ResultWrite,
    Settlement,
    SettleResult,
    UniqueLock,
)

__all__ = [
    "AsyncWatch",
    "Binding",
    "Broker",
    "DeadLetter",
    "Delays",
    "Driver",
    "HeartbeatReply",
    "InFlight",
    "Lease",
    "Results",
    "Scheduled",
    "SettleReply",
    "Settler",
    "Watch",
]


Delays: TypeAlias = Iterable[float] | None
"""Seconds to wait before each further try while the server is away; ``None``: the driver's own, some seconds in all."""
ORPHANS_AGAIN = 30.0
"""Seconds after which orphans that nobody has settled are handed out again."""


class Binding(NamedTuple):
    """A queue and how an exchange reaches it (protocol.md §1.7)."""

    queue: str
    exchange: str
    routing_key: str
    type: str = "direct"
    """``direct``, ``topic`` or ``fanout``."""


class Lease(NamedTuple):
    """A request for messages."""

    worker: str
    """The worker id; tags are ``canvas:<worker>:<n>``."""
    queues: Sequence[str]
    """In the order they are to be looked at; all of one priority step before any of the next."""
    limit: int
    predecode: Callable[[bytes], object] = bytes
    """Called with a message that may be among those that come, while nothing but the answer is waited for. It raises
    nothing."""
    node: str = ""
    """Another worker id, whose ``wait`` may have moved messages aside; these come first."""


class SettleReply(NamedTuple):
    """The answer to one exchange with the servers."""

    verdicts: list[SettleResult]
    """One per settlement, in order."""
    deliveries: list[Delivery]
    fired: list[SettleResult]
    """One per firing."""


class DeadLetter(NamedTuple):
    """A message nobody could run."""

    payload: bytes
    reason: str
    queue: str
    time: float
    """Unix time, seconds, by the server's clock."""
    token: bytes = b""
    """What the broker knows it by."""


class Scheduled(NamedTuple):
    """A deferred message."""

    due: float
    """Unix time, seconds, by the server's clock."""
    queue: str
    payload: bytes


class InFlight(NamedTuple):
    """Messages that are in no queue now."""

    leased: int
    """Held by workers, Celery's among them."""
    delayed: int
    """Waiting for their eta."""
    blocked: int
    """Waiting for a permit under a concurrency limit."""


class HeartbeatReply(NamedTuple):
    """What a heartbeat found."""

    workers: int
    """How many workers there are, the dead with them that nobody has found out yet."""
    known: bool
    """Whether this one was known already."""


class Inbox(Protocol):
    """Envelopes as they arrive."""

    def next(self, timeout: float) -> bytes | None:
        """The next envelope; ``None`` after ``timeout`` seconds without one. Raises OperationalError when cut off."""


class Broker(Protocol):
    """Queues of messages, leases on them, and the workers that hold those."""

    takes_turns: bool
    """Whether a worker leases from its queues in turn, or from the first that has messages."""

    def declare(self, bindings: Sequence[Binding]) -> None:
        """Make each queue reachable through its exchange. Idempotent."""

    def publish(self, messages: Sequence[Publish], delays: Delays = None) -> None:
        """Append messages to their queues, in order within a queue, and once, however often that is tried.

        A message to a named exchange goes to every queue whose binding matches; to none, silently, where no
        binding does (as kombu).
        """

    async def apublish(self, messages: Sequence[Publish], delays: Delays = None) -> None: ...

    def broadcast(self, exchange: str, payload: bytes, routing_key: str = "") -> None:
        """Send an envelope to everyone who listens to a fanout exchange now (protocol.md §1.8); with a routing key,
        to those who listen to its topics."""

    def subscribe(self, exchange: str, topics: bool = False) -> AbstractContextManager[Inbox]:
        """What is broadcast to a fanout exchange from now on: without a routing key, or with any."""

    def reply(self, exchange: str, routing_key: str, payload: bytes) -> None:
        """Send an envelope to whoever waits in ``replies``; nowhere, silently, when nobody does any more."""

    def replies(self, exchange: str, routing_key: str) -> AbstractContextManager[Inbox]:
        """A queue of one's own behind a direct exchange, for replies; gone at the end."""

    def lease(self, request: Lease) -> list[Delivery]:
        """Move up to ``limit`` messages from the queues under this worker's lease; atomic, never blocks."""

    def wait(self, worker: str, queues: Sequence[str], timeout: float) -> int:
        """Block until one of the queues has something to lease, ``interrupt`` is called, or the time (seconds)
        is over. Returns how many messages it moved aside; where it was interrupted, or moves none, 1 when a lease is
        worth trying, else 0. Never leaves a message in memory only."""

    def wake(self) -> None:
        """Make a ``wait`` in progress, or the next one, return at once. Safe from any thread and signal."""

    def release(self, deliveries: Sequence[Delivery]) -> int:
        """Return what has not started to the head of its queue, in order, leases and what was acked ahead of its turn;
        how many were still held."""

    def stop_waiting(self, worker: str) -> None:
        """Move nothing aside any more for this worker until it waits again, and return what was."""

    def release_prefetched(self, worker: str) -> int:
        """Return what ``wait`` moved aside for this worker and nobody has leased; how many."""

    def dead_letters(self, queue: str) -> list[DeadLetter]:
        """The dead letters of a queue, oldest first."""

    def dead_letter_count(self, queue: str) -> int:
        """How many dead letters a queue has."""

    def delete_dead_letter(self, queue: str, letter: DeadLetter) -> bool:
        """Delete a dead letter; whether it was still there."""

    def requeue_dead_letter(self, queue: str, letter: DeadLetter, payload: bytes) -> bool:
        """Put ``payload``, a dead letter's message, back into its queue, once; whether the letter was still there."""

    def queue_length(self, queue: str) -> int:
        """Messages waiting in the queue, all priorities."""

    def in_flight(self) -> InFlight:
        """What is under way in all queues together."""

    def purge(self, queue: str) -> int:
        """Delete what waits in the queue; how many that were."""

    def empty_inbox(self, worker: str, queues: Sequence[str]) -> int:
        """Return what the ``wait`` of another process, which is dead, moved aside from these queues; how many. The
        worker stays known until its heartbeat has expired."""

    def heartbeat(self, worker: str, queues: Sequence[str], ttl: float) -> HeartbeatReply:
        """Say that the worker lives for ``ttl`` seconds more, and renew all its leases."""

    def rest(self, worker: str) -> bool:
        """Forget a worker that holds nothing, until its next ``beat``; False when it holds something."""

    def release_unknown(self, worker: str, held: Collection[str]) -> int:
        """Give back the leases that the broker knows of and their worker does not, because the broker has forgotten how
        they ended; how many. ``held`` are all the tags that the worker knows of."""

    def unregister(self, worker: str) -> None:
        """Forget the worker, giving back whatever it still holds."""

    def mark_started(self, delivery: Delivery) -> None:
        """A message that was given back before is about to run: if its worker dies now, that counts."""

    def recover_worker(self, worker: str) -> int:
        """The worker is known to be dead: give back at once what it held.

        Deliveries are counted in the header ``canvas_delivery_count``: the first time of each message, and then only of
        those that ``starts`` was said of, so that what was merely held beside a deadly one is not blamed for it.
        """

    def has_orphans(self) -> bool:
        """Whether ``orphans`` may find something, now or later."""

    def claim_orphans(self) -> list[Orphan]:
        """What dead workers had acked before they ran it, for the caller to settle (fence ``begun``); others are not
        given it for ``ORPHANS_AGAIN`` seconds."""

    def leases(self, worker: str) -> list[Delivery]:
        """What a worker holds and has not acked."""

    def leased_message(self, tag: str) -> bytes | None:
        """The message of a lease that is held, or was acked and runs."""

    def orphan_lease(self, tag: str, reason: str) -> bool:
        """The process that runs this lease's message is killed for it: make an orphan of it; whether it was held."""

    def recover_dead_workers(self) -> int:
        """Give back what dead workers held (marked redelivered); how many messages. One caller at a time
        does the work, others return 0."""

    def enqueue_due(self, limit: int) -> int:
        """Move deferred messages that are due into their queues; how many. One that its queue does not take is a dead
        letter then."""

    def enqueue_delayed(self, queue: str, limit: int) -> int:
        """Move deferred messages of a queue into it, due or not; how many. A worker that finds one too early defers it
        again."""

    def scheduled(self, limit: int) -> list[Scheduled]:
        """The deferred messages that are due first."""

    def next_due(self) -> float | None:
        """Seconds until the next deferred message is due (0 or less: now); ``None`` when there is none."""

    @property
    def revision(self) -> int:
        """How often anything had been revoked when this broker last leased."""

    @property
    def clock_offset(self) -> float:
        """Seconds by which the server's clock was ahead of this machine's when this broker last leased; 0 where they
        agree."""

    def revoke(self, entries: Sequence[str], seconds: float) -> None:
        """Keep each entry (text that workers understand) for so many seconds."""

    def revoked(self) -> list[str]:
        """The entries kept now; also brings ``revision`` up to date."""

    def reserve_rate_slot(self, key: str, interval: float) -> float:
        """Take the next turn of what may happen once in ``interval`` seconds: its unix time by the server's clock; 0
        when it is now."""

    def acquire_permit(self, key: str, limit: int, delivery: Delivery) -> bool:
        """Take one of a key's places for a leased message, until a settlement ``frees`` it or its lease is gone.

        False: it is not to run. All places are taken, and the message waits, no longer leased, for one to be free;
        or the lease was lost already. Safe to call again.
        """

    def enqueue_blocked(self) -> int:
        """Give messages that wait for a place back to their queues where places are free, because whoever had them
        died; how many."""

    def publish_unique(self, message: Publish, lock: UniqueLock, seconds: float, delays: Delays = None) -> str | None:
        """Publish and take the lock, for so many seconds at most; or its owner, when it is taken, and nothing is
        sent."""

    def release_lock(self, lock: UniqueLock) -> None:
        """Free the lock, if it is still the owner's."""

    def close(self) -> None:
        """Release connections. Using the driver again reconnects."""


class Watch(Protocol):
    """Records as they are stored, of the ids asked for."""

    def next(self, timeout: float | None) -> tuple[str, bytes] | None:
        """The next ``(task_id, record)``; ``None`` when ``timeout`` seconds pass without one.

        What was stored before the watch began, or while a connection was down, is delivered too (once or more).
        """

    def drop(self, task_id: str) -> None:
        """Stop watching one id."""


class AsyncWatch(Protocol):
    async def next(self, timeout: float | None) -> tuple[str, bytes] | None: ...

    def drop(self, task_id: str) -> None: ...


class Results(Protocol):
    """Result records, groups and chord parts."""

    def get(self, task_ids: Sequence[str], retry: bool = True) -> list[bytes | None]:
        """The stored records, in order; ``None`` where there is none. ``retry``: whether to try again while the server
        is away."""

    async def aget(self, task_ids: Sequence[str]) -> list[bytes | None]: ...

    def read_prefix(self, task_ids: Sequence[str], size: int) -> list[bytes]:
        """The first ``size`` bytes of the stored records, in order; ``b""`` where there is none. Not tried again."""

    async def aread_prefix(self, task_ids: Sequence[str], size: int) -> list[bytes]: ...

    def store(self, stores: Sequence[ResultWrite]) -> None:
        """Keep and announce records. A stored SUCCESS stays (protocol.md §5.1)."""

    def forget(self, task_ids: Sequence[str]) -> None:
        """Delete records."""

    def watch(self, task_ids: Iterable[str]) -> AbstractContextManager[Watch]:
        """Watch ids; nothing stored after this call returns is missed."""

    def awatch(self, task_ids: Iterable[str]) -> AbstractAsyncContextManager[AsyncWatch]: ...

    def save_group(self, group_id: str, payload: bytes, expires: int | None) -> None:
        """Keep a GroupResult's structure (protocol.md §5.3)."""

    def get_group(self, group_id: str) -> bytes | None: ...

    def delete_group(self, group_id: str) -> None: ...

    def save_run(self, run: str, fields: Mapping[str, bytes], expires: int | None, created: float | None) -> None:
        """Keep fields of a workflow's run, for so many seconds from now; ``created`` (unix time) lists it."""

    def read_run(self, run: str, names: Sequence[str]) -> list[bytes | None]:
        """Fields of a run, in order."""

    def begin_attempt(
        self, run: str, attempt: int, fields: Mapping[str, bytes], expires: int | None, start: ReadyChord | None
    ) -> bool:
        """Count ``attempt`` on and set fields; False, and nothing is done, when another one is counted already.

        ``start`` is ready from then on, as a chord is whose parts are all in.
        """

    def expire_run(self, run: str, seconds: int, task_ids: Sequence[str], record_seconds: int) -> None:
        """Have a run, and these records, as far as they are there, expire after so many seconds; 0: never."""

    def list_runs(self, limit: int) -> list[str]:
        """The ids of runs that are kept, the latest first."""

    def start_chords(self, joins: Sequence[ChordStart], grow: Sequence[str] = ()) -> None:
        """Start chords: set their sizes (before any part is published), and grow running ones."""

    def close(self) -> None: ...


class Settler(Protocol):
    """Commits what tasks came to, across broker and results."""

    def settle(
        self, settlements: Sequence[Settlement], lease: Lease | None = None, firings: Sequence[ChordDispatch] = ()
    ) -> SettleReply:
        """End chords (``fire``), commit settlements, each whole or not at all, and lease more, in the same exchange.

        Where broker and results share a server all of it is one atomic call. Otherwise, per settlement: is
        the lease held; records and parts (idempotent); then messages and ack in one atomic call.
        """

    def publish_with_chords(
        self, joins: Sequence[ChordStart], messages: Sequence[Publish], delays: Delays = None
    ) -> None:
        """Start chords, and then publish; at once where broker and results share a server. Raises RefusedError."""

    def dispatch_chord(self, firing: ChordDispatch) -> SettleResult:
        """Send a ready chord's body exactly once; ``held`` is False when somebody else already did.

        ``ready`` are outer chords that this one's own parts completed.
        """

    def stale_ready_chords(self, older_than: float) -> list[ReadyChord]:
        """Chords that have been ready for so many seconds and whose body nobody has sent; and those that have had
        parts, but for long no size."""

    def renew(self, every: float) -> int:
        """Renew what keeps the chords that live, which other workers may have shortened; how many were looked at.

        Once in ``every`` seconds, whoever calls it; 0 in between.
        """


@dataclass(slots=True)
class Driver:
    """What an app holds: the three faces, opened from its URLs."""

    broker: Broker
    results: Results | None
    """``None`` when the app has no result backend."""
    settler: Settler
    scheme: str = field(default="")
