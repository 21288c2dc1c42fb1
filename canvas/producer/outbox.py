"""The effects of one task's end, gathered before any of them happens.

Each method adds what one event in Celery's protocol means: a record (protocol.md §5.1), a chord part
(semantics.md K3, K4), a set of messages. Nothing here does I/O, except that ``task_send_sent_event`` has
each message announced.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

from canvas import telemetry
from canvas.config.config import Config
from canvas.model.compiled import Plan, ResultRef, TaskCall
from canvas.model.ids import Lineage
from canvas.model.message import Delivery, Message, Publish
from canvas.model.record import Record
from canvas.model.settlement import (
    ChordDispatch,
    ChordExtension,
    ChordStart,
    DelayedPublish,
    Disposal,
    Fence,
    Keep,
    MailboxStep,
    Part,
    ResultWrite,
    RunWrite,
    Settlement,
    SpeculativeDispatch,
)
from canvas.model.workflow_run import NodeRef
from canvas.primitives.signature import Signature
from canvas.producer.planner import Announcer
from canvas.producer.send_errors import problem_of
from canvas.producer.sender import Sender
from canvas.result.backend import Backend
from canvas.wire import typed_json
from canvas.wire.signing import Signer, end_of, part_of

NO_OPTIONS: Mapping[str, Any] = {}


class NodeEnd(NamedTuple):
    """The end of the task that ran as a node of a run."""

    place: NodeRef
    state: str
    value: Any
    parent: str | None = None
    """The id of the task that has ended there. ``None``: the task that the settlement ends."""


class OutboxParts(Protocol):
    """The parts of an app that an outbox needs."""

    @property
    def conf(self) -> Config: ...

    @property
    def sent_events(self) -> Announcer: ...

    @property
    def sender(self) -> Sender: ...

    @property
    def backend(self) -> Backend: ...

    @property
    def signer(self) -> Signer: ...


class Outbox:
    """Records, parts, chord starts and messages, in the order they were added."""

    def __init__(self, parts: OutboxParts) -> None:
        self._parts = parts
        self.stores: list[ResultWrite] = []
        self.stored_early = 0
        """How many of these are stored already, ahead of the settlement."""
        self.parts: list[Part] = []
        self.chord_starts: list[ChordStart] = []
        self.publishes: list[Publish] = []
        self.deferrals: list[DelayedPublish] = []
        self.mail: list[MailboxStep] = []
        self.runs: list[RunWrite] = []
        self.sent: list[Callable[[], Message]] = []
        """The messages to report once they are sent; empty if no listener is registered."""
        self.unstored: list[object] = []
        """The process reads these runs, which are not stored yet, as long as this list holds them."""
        self.chord_extensions: list[ChordExtension] = []
        self.keeps: Sequence[Keep] = ()
        self.disposal: Disposal = "ack"
        self.reason = ""
        self.ends: list[NodeEnd] = []
        """Ends in places of runs, after which these runs go on."""

    def record(self, record: Record, in_run: bool = False) -> None:
        """Keep and announce a state; ``in_run``: as long as the workflow's run that it is a part of."""
        self.stores.append(self._parts.backend.store_of(record, in_run))

    def record_run(self, record: Record, in_run: bool = True) -> None:
        """Keep and announce the state of an attempt of a workflow's run, and list the run under it."""
        store = self._parts.backend.store_of(record, in_run)
        self.stores.append(store._replace(run_state=record.status, run_attempt=record.extra["attempt"]))

    def part(self, membership: "ChordMembership", state: str, result: Any, origin: "PartOrigin") -> None:
        """Return a member's value to its chord. Where Celery ends chords, which it does by records, it has a record in
        any case."""
        backend = self._parts.backend
        by_records = backend.unlocks_chords or backend.chords_ended_by_celery
        if by_records and all(one.task_id != membership.task_id for one in self.stores):
            self.record(Record(membership.task_id, state, result, None, []))
        if not backend.unlocks_chords:
            self.parts.append(self.part_of(membership, state, result, origin))

    def part_of(self, membership: "ChordMembership", state: str, result: Any, origin: "PartOrigin") -> Part:
        """A member's value as a part of its chord."""
        records, signer = self._parts.backend, self._parts.signer
        value = records.encode_part(membership.task_id, state, result)
        body = records.bodies.raw(membership.chord)
        callback = typed_json.dumps({"body": body, "root_id": origin.root_id, "parent_id": origin.task_id})
        group = membership.group_id
        return Part(
            group,
            membership.task_id,
            membership.index,
            signer.seal(part_of(group), value),
            signer.seal(end_of(group), callback),
            records.chord_lives,
        )

    def send(
        self, sig: Any, lineage: Lineage, args: tuple[Any, ...] = (), options: Mapping[str, Any] = NO_OPTIONS,
        due: float | None = None,
    ) -> ResultRef | None:  # fmt: skip
        """Send the messages of a signature, which may be in wire form, at unix time ``due`` if given.

        Returns the task or group that starts with them. Raises what planning and encoding raise, and what a task's own
        ``apply_async`` raises.
        """
        sender = self._parts.sender
        plan = sender.plan_wire(sig, args, options)
        gathered = sender.gathered(plan, lineage) if plan.has_own or sender.app_sends_itself else ()
        self.send_plan(plan, lineage, due)
        for one in gathered:
            self.send_plan(one, lineage, due)
        return plan.trail

    def send_plan(self, plan: Plan, lineage: Lineage, due: float | None = None) -> None:
        """Send a plan's messages, at unix time ``due`` if given; start its chords."""
        outgoing, chord_starts = self._parts.sender.encode(plan, lineage)
        self.chord_starts.extend(chord_starts)
        if self._parts.conf.task_send_sent_event:
            self._parts.sent_events.announce([out.message for out in outgoing])
        if "message.published" in telemetry.listeners:
            self.sent += [out.make for out in outgoing]
        if due is None:
            for out in outgoing:
                self.publishes.append(out.publish)
        else:
            self.deferrals.extend(DelayedPublish(due, out.publish) for out in outgoing)

    def send_each(self, calls: Sequence[TaskCall], lineage: Lineage) -> list[tuple[int, BaseException]]:
        """Send calls, of which each may fail alone: the places of those that cannot be sent, and why."""
        # Functions of the program that see messages while they are built are to see each of them once.
        together = not self._parts.sender.shows_messages
        if together and problem_of(lambda: self.send_plan(Plan(list(calls)), lineage)) is None:
            return []
        problems = ((at, problem_of(partial(self.send_plan, Plan([one]), lineage))) for at, one in enumerate(calls))
        return [(at, problem) for at, problem in problems if problem is not None]

    def settlement(
        self, delivery: Delivery | None = None, fence: Fence = "none", speculative: Sequence[SpeculativeDispatch] = ()
    ) -> Settlement:
        """All of them as the settlement of ``delivery``."""
        return Settlement(
            delivery, fence, False, self.stores, self.parts, speculative, self.chord_starts, self.chord_extensions,
            self.keeps, self.publishes, self.deferrals, self.disposal, self.reason, (), (), self.mail, self.sent,
            self.runs,
        )  # fmt: skip

    def chord_dispatch(self, group_id: str, failed: bool = False) -> ChordDispatch:
        """All of them as the end of a chord."""
        expires = self._parts.backend.chord_expires
        return ChordDispatch(
            group_id,
            self.publishes,
            self.chord_starts,
            self.stores,
            self.parts,
            self.deferrals,
            failed,
            expires,
            mail=self.mail,
            sent=self.sent,
            runs=self.runs,
        )

    def extend_chords(self, members: Sequence[Signature[Any]], lineage: Lineage, by: str) -> None:
        """Send what a task adds to its chord. ``by``: names the run of the task. Raises NoResultBackend where no parts
        are counted."""
        self._parts.backend.ensure_parts_counted("add_to_chord")
        for sig in members:
            self.send(sig, lineage)
            member = f"{by}:{len(self.chord_extensions)}"
            added = sig.freeze()
            self.chord_extensions.append(ChordExtension(sig.options["group_id"], member, added.id if added else ""))

    def absorb(self, end: ChordDispatch) -> None:
        """Add the effects of a chord's end."""
        self.stores += end.stores
        self.parts += end.parts
        self.chord_starts += end.chord_starts
        self.publishes += end.publishes
        self.deferrals += end.deferrals
        self.mail += end.mail
        self.runs += end.runs
        self.sent += end.sent


class ChordMembership:
    """A task's place in a chord: its group, its index, and the body that waits."""

    __slots__ = ("chord", "group_id", "index", "task_id")

    def __init__(self, task_id: str, group_id: str, index: int | None, chord: Mapping[str, Any]) -> None:
        self.task_id = task_id
        self.group_id = group_id
        self.index = index
        self.chord = chord

    @classmethod
    def of_signature(cls, sig: Signature[Any]) -> "ChordMembership | None":
        """The place that a frozen signature's options give it."""
        options = sig.options
        chord, group_id, task_id = options.get("chord"), options.get("group_id"), options.get("task_id")
        return cls(task_id, group_id, options.get("group_index"), chord) if chord and group_id and task_id else None


class PartOrigin:
    """The task whose end returns a part: the parent of the body, should the part be the last."""

    __slots__ = ("root_id", "task_id")

    def __init__(self, root_id: str | None, task_id: str) -> None:
        self.root_id = root_id
        self.task_id = task_id
