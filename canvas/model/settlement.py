"""Everything one finished task does to the world, as data, before any of it is done."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from canvas.model.message import Delivery, Message, Publish


class ResultWrite(NamedTuple):
    """A result record to keep and to announce."""

    task_id: str
    payload: bytes
    """The encoded record (protocol.md §5.1)."""
    expires: int | None
    """Seconds to keep it; ``None``: without an end."""
    success: bool
    """A stored SUCCESS is never overwritten by anything else."""
    run_state: str = ""
    """For the record of a workflow's run: the state under which the index of runs lists the run from then on."""
    run_attempt: int = 0
    """For such a record: the attempt that it is about. Nothing is stored once the run has begun a later one."""
    about: Mapping[str, Any] | None = None
    """Fields of the task that a store may show with its record: ``argsrepr``, ``kwargsrepr``, ``periodic_task_name``.
    Only with ``result_extended``."""
    reply_to: str = ""
    """The queue of the process that waits for it, for results that are messages; empty: the one its delivery names."""


class ChordExtension(NamedTuple):
    """One part more that a chord waits for (``add_to_chord``)."""

    group_id: str
    member: str
    """Names the addition. A task that runs again names it alike, and it counts once."""
    task_id: str = ""
    """The task whose end returns the part; empty: it is not known."""


class Part(NamedTuple):
    """One member's contribution to a chord (semantics.md K4, K5)."""

    group_id: str
    task_id: str
    position: int | None
    """Place among the chord's parts; ``None`` sorts last."""
    value: bytes
    """``[1, task_id, state, result]``, encoded."""
    callback: bytes
    """The data with which the worker that completes the chord sends its body; opaque to the driver."""
    expires: int
    """Seconds that the chord lives without a further part; 0: any time."""
    size: int | None = None
    """How many parts there are; ``None``: the start of the chord says it."""


class ChordStart(NamedTuple):
    """A chord that starts: how many parts it waits for."""

    group_id: str
    size: int
    expires: int
    """Seconds that the chord lives without a part; 0: any time."""
    structure: bytes | None = None
    """The saved GroupResult of a header that is not flat (semantics.md H6)."""


class Keep(NamedTuple):
    """A chord that others started, and that waits for a message which is late or takes long."""

    group_id: str
    seconds: int
    """How long it is to live at least, from now; 0: any time."""


class DelayedPublish(NamedTuple):
    """A message to put into its queue when it is due."""

    due: float
    """Unix time, seconds."""
    publish: Publish


class UniqueLock(NamedTuple):
    """The lock that keeps a second message of the same key from being sent while the first is not done."""

    key: str
    owner: str
    """The id of the task under way."""


class RunWrite(NamedTuple):
    """A new run of a workflow, unlisted, to keep with the nodes of its first attempt. A run that has begun another
    attempt stays as it is."""

    run: str
    """The id begins with that of the run around it, or of the task in whose place it is."""
    fields: Mapping[str, bytes]
    expires: int
    """Seconds to keep it; 0: without an end."""


class MailboxStep(NamedTuple):
    """One change of a mailbox of a workflow's run, where nodes wait for values that come from outside of the graph's
    edges. Each step takes effect once per ``id``, however often it is repeated.

    A mailbox has values that no node has taken, in the order in which they were posted, and nodes that wait for one, in
    the order in which they began to; never both. A node that gets a value is a ready chord of one part.

    ``post`` brings a value. ``offer`` does so where a node waits, and has no effect otherwise. ``take`` waits for one.
    ``resolve`` gives the wait of that id a value past the mailbox, unless it has one: also a wait that has not begun.
    Without a value it ends the wait, and no chord becomes ready.
    """

    run: str
    mailbox: str
    kind: Literal["post", "offer", "take", "resolve"]
    id: str
    """The id of the value for ``post`` and ``offer``, and of the wait for the others."""
    value: bytes | None = None
    group_id: str = ""
    """Of ``take``: the chord that becomes ready with the value as its part. The id begins with the run's and a dot: a
    store that spreads chords and runs keeps both in one place."""
    callback: bytes = b""
    """Of ``take``: as that of a chord's part."""
    expires: int = 0
    """Of ``take``: seconds that the ready chord is kept; 0: any time."""
    lasting: int = 0
    """Of ``take``: seconds that the run is kept at least; 0: as it is."""


class ChordDispatch(NamedTuple):
    """A chord's end: its body's messages (or its failure's records), sent once however many try."""

    group_id: str
    publishes: list[Publish]
    chord_starts: list[ChordStart]
    stores: list[ResultWrite]
    parts: list[Part]
    deferrals: list[DelayedPublish]
    failed: bool
    """True keeps the parts until they expire, as Celery does (semantics.md K9)."""
    expires: int = 0
    """Seconds after which they expire; 0: their expiry stays."""
    chord: "ReadyChord | None" = None
    """The chord that it ends; if the driver refuses the dispatch, the chord is ended in another way."""
    mail: Sequence[MailboxStep] = ()
    """Changes of mailboxes, in their order."""
    sent: Sequence[Callable[[], Message]] = ()
    """The messages to report once they have left. No driver reads it."""
    runs: Sequence[RunWrite] = ()
    """Written before everything else."""


class SpeculativeDispatch(NamedTuple):
    """The end of a chord, for the case that a settlement completes it with the parts that its worker knows: it saves a
    call."""

    chord_dispatch: ChordDispatch
    digest: str
    """SHA-1 of those parts' values, one after the other in their order; hexadecimal."""
    callback: bytes = b""
    """The callback that the chord must have; empty: any."""

    @classmethod
    def of(
        cls, chord_dispatch: ChordDispatch, parts: Sequence[bytes], callback: bytes = b""
    ) -> "SpeculativeDispatch":  # fmt: skip
        """``chord_dispatch``, to be applied if the chord's parts are exactly these, in this order, and it has this
        ``callback`` (empty: any)."""
        from hashlib import sha1  # imported late: it loads OpenSSL, which most programs do not need

        return cls(chord_dispatch, sha1(b"".join(parts), usedforsecurity=False).hexdigest(), callback)


Disposal = Literal["ack", "reject", "requeue", "redeliver", "dead_letter"]
"""How the message ends. ``reject`` acks it, or has RabbitMQ dead-letter it; ``redeliver`` requeues it as a delivery."""
Fence = Literal["lease", "early_acked", "none"]
TaskEnding = Literal["own", "failure", "bare_failure", "dead_letter"]
"""Which end of a task a settlement brings about: its own; a failure in place of one that a server refuses; a failure
with nothing but the reason; the message as a dead letter. Each is tried when the one before is refused."""


class Settlement(NamedTuple):
    """All effects of one delivery. A driver commits a settlement whole or not at all.

    ``fence`` is the condition under which it is committed. ``lease``: the delivery's lease is still held (the usual
    case; after a lost lease another worker runs the message). ``early_acked``: the message was acked before its
    task ran, by a settlement with ``early_ack``, and this is the first settlement after that. ``none``: no condition.
    """

    delivery: Delivery | None
    fence: Fence = "lease"
    early_ack: bool = False
    """The ack before the task runs, for at-most-once tasks."""
    stores: Sequence[ResultWrite] = ()
    parts: Sequence[Part] = ()
    speculative: Sequence[SpeculativeDispatch] = ()
    """Ends of chords that a driver may apply in the same step; it returns the ready chords that it does not end."""
    chord_starts: Sequence[ChordStart] = ()
    chord_extensions: Sequence[ChordExtension] = ()
    keeps: Sequence[Keep] = ()
    publishes: Sequence[Publish] = ()
    deferrals: Sequence[DelayedPublish] = ()
    disposal: Disposal = "ack"
    reason: str = ""
    """Why, for ``dead_letter``."""
    releases_permits: Sequence[str] = ()
    """Concurrency keys whose permit this delivery gives up."""
    releases_locks: Sequence[UniqueLock] = ()
    """Locks of unique tasks that end with it."""
    mail: Sequence[MailboxStep] = ()
    """Changes of mailboxes, in their order."""
    sent: Sequence[Callable[[], Message]] = ()
    """The messages to report once they have left. No driver reads it."""
    runs: Sequence[RunWrite] = ()
    """Written before everything else."""
    ending: TaskEnding = "own"


_SET_BY_PLAIN = 6
_NOTHING_MORE: tuple[Any, ...] = Settlement(None)[_SET_BY_PLAIN:]


def plain_success(
    delivery: Delivery, fence: Fence, stores: Sequence[ResultWrite], parts: Sequence[Part],
    speculative: Sequence[SpeculativeDispatch],
) -> Settlement:  # fmt: skip
    """A settlement that has no other fields. Its class would look up a default for each of the others."""
    return tuple.__new__(Settlement, (delivery, fence, False, stores, parts, speculative, *_NOTHING_MORE))


def has_nothing_more(settlement: Settlement) -> bool:
    """Whether the fields that ``plain_success`` does not set have their defaults."""
    return settlement[_SET_BY_PLAIN:] == _NOTHING_MORE


Ending = Literal["body", "failure", "record", "removal"]
"""How a ready chord is ended: its body is sent; its body fails, with all that depends on it; only its body's record is
stored; nothing but the chord's removal."""


class ReadyChord(NamedTuple):
    """A chord that has all its parts, and whose body has not been sent yet."""

    group_id: str
    callback: bytes
    """The ``callback`` of the part that completed it."""
    parts: list[bytes]
    """Every part's ``value``, in index order."""
    structure: bytes | None
    """The saved GroupResult of the header, if any."""
    lost: bool = False
    """Its size, or some of its parts, are gone from the result backend: it is to end in failure."""
    ending: Ending = "body"
    refusal: str = ""
    """Why the ending that was tried first cannot be brought about."""

    def refused(self, why: str, failed: bool = False) -> "ReadyChord":
        """The chord whose latest ending cannot be brought about, to be ended in the next simpler way; ``failed``: that
        was a failure already, of which errbacks may have been sent."""
        following: dict[Ending, Ending] = {"body": "record" if failed else "failure", "failure": "record"}
        return self._replace(ending=following.get(self.ending, "removal"), refusal=self.refusal or why)


class Orphan(NamedTuple):
    """A message acked before its task ran, or of a process that was killed because of it: its end is to be settled."""

    delivery: Delivery
    reason: str
    """The text of an :class:`OrphanReason`."""


class RefusedEnd(NamedTuple):
    """A delivery whose task has ended, and whose settlement a server refuses: the next ending is tried instead."""

    delivery: Delivery
    settlement: Settlement
    reason: str
    nothing_sent: bool


class SettleResult(NamedTuple):
    """The reply to a settlement."""

    held: bool
    """False: the lease was lost and nothing was done."""
    ready: Sequence[ReadyChord] = ()
    """Chords this settlement completed, and did not end."""
    refused: str = ""
    """Why it cannot be done, although the lease is held. Any steps that were done can be repeated."""
    ended: Sequence[str] = ()
    """Group ids of the chords that ended as prepared."""
    unsettled: bool = False
    """Its server is away while others answer: it has to be settled again."""
    nothing_sent: bool = False


DONE = SettleResult(True)
"""The reply to a settlement that was held, and that completed no chord."""
