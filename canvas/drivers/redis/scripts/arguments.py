"""Settlements in the form that the scripts take: with the names of keys, packed as msgpack.

Bytes are packed in msgpack's old raw form, the only one that Redis' Lua reads.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeAlias, TypeVar
from uuid import uuid4

import msgpack

from canvas.drivers.kombu_envelope import ENVELOPE
from canvas.drivers.ports.chords import Records
from canvas.drivers.redis.bindings import Bindings
from canvas.drivers.redis.keys import BrokerKeys, ResultKeys
from canvas.drivers.stored_messages import requeued
from canvas.drivers.tags import worker_of_tag
from canvas.errors import RefusedError
from canvas.model.message import Publish
from canvas.model.settlement import (
    ChordDispatch,
    ChordExtension,
    ChordStart,
    DelayedPublish,
    MailboxStep,
    Part,
    ResultWrite,
    RunWrite,
    Settlement,
    SpeculativeDispatch,
    has_nothing_more,
)

DEAD_LETTERS_KEPT = 10_000
PUSHED_AT_ONCE = 1_000
"""Messages that one command takes: the scripts' stack has room for some thousands."""
BYTES_AT_ONCE = 1 << 20
"""Bytes of messages that one call takes, except for its last message: more would block the server for long."""
APART_FROM = 16_384
"""Bytes from which a record is an argument of its own."""
T = TypeVar("T")
Packed: TypeAlias = tuple[bytes, dict[int, str]]
"""Packed items, and by place why the others cannot be packed."""
NOTHING: Packed = (b"\x90", {})
_SUCCESS = b'{"status":"SUCCESS"'
UNWRITABLE = (RefusedError, TypeError, ValueError, LookupError, AttributeError)
Fields: TypeAlias = dict[str, Any]
"""The arguments of a script for one settlement, chord or message, by name."""


def fitting(messages: Sequence[Publish]) -> int:
    """How many messages, from the first on, go in one call."""
    room = BYTES_AT_ONCE
    for place, message in enumerate(messages[:PUSHED_AT_ONCE], 1):
        room -= len(message.payload)
        if room <= 0:
            return place
    return min(len(messages), PUSHED_AT_ONCE)


def pack(value: Any) -> bytes:
    """msgpack, as the scripts read it. Raises RefusedError for values that cannot be written."""
    try:
        return msgpack.packb(value, use_bin_type=False)  # type: ignore[no-any-return]
    except (ValueError, TypeError, OverflowError) as exc:
        raise RefusedError(f"cannot be sent to Redis: {exc}") from exc


def pack_each(items: Sequence[T], fields_of: Callable[[T], Fields | list[Any]]) -> Packed:
    """Pack items for the scripts, each as ``fields_of`` gives it. Items that cannot be written are left out, with the
    reason by place. Raises BrokerError when the fields cannot be looked up."""
    if not items:
        return NOTHING
    try:
        return pack([fields_of(item) for item in items]), {}
    except UNWRITABLE:
        good, bad = [], {}
    for place, item in enumerate(items):
        try:
            written = fields_of(item)
            pack(written)
        except UNWRITABLE as exc:
            bad[place] = f"{type(exc).__name__}: {exc}"
        else:
            good.append(written)
    return pack(good), bad


class ScriptArguments:
    """Turns settlements into script arguments, for one pair of key spaces."""

    def __init__(self, broker: BrokerKeys, results: ResultKeys | None, bindings: Bindings | None = None) -> None:
        """``bindings``: those of the broker; ``None`` where no messages are sent."""
        self._broker = broker
        self._results = results
        self._bindings = bindings
        self._record = results.task("") if results is not None else ""
        """The key of a task's record, up to the task's id."""
        self._chord = results.group("") if results is not None else ""
        """The key of a chord, up to its group's id."""

    def lists_of(self, message: Publish) -> list[str]:
        """The lists that a message goes into; or the channel of a fanout exchange, marked as such. A message that goes
        nowhere is reported."""
        priority = message.priority
        if not message.exchange:
            # Mostly without a call: each message that is sent passes.
            keys = self._broker
            known = keys.lists.get((message.routing_key, priority)) if type(priority) is int else None
            return [known or keys.list_of(message.routing_key, priority)]
        assert self._bindings is not None
        return self._bindings.lists_of(message)

    def settlement(
        self, settlement: Settlement, carried: list[Any] | None = None, records: list[bytes] | None = None
    ) -> Fields | list[Any]:
        """The arguments of settle.lua for one settlement; ``carried`` stands for its message, where that is passed
        apart. ``records`` takes a long record that is passed apart."""
        if is_plain(settlement, carried is not None):
            return self._plain(settlement, carried, records)
        delivery, keys = settlement.delivery, self._broker
        fields: Fields = {"fence": settlement.fence}
        publishes = [carried] if carried is not None else []
        if carried is None and settlement.publishes:
            publishes = self.publishes(settlement.publishes)
        if delivery is not None:
            fields["tag"] = delivery.tag
            if settlement.early_ack or settlement.fence == "early_acked":
                fields["early_acked"] = keys.early_acked(worker_of_tag(delivery.tag))
                fields["early_ack"] = settlement.early_ack
            if settlement.disposal in ("requeue", "redeliver"):
                payload = requeued(ENVELOPE, delivery.payload, settlement.disposal == "redeliver")
                publishes.append([self.list_of(delivery.queue, payload), payload])
            elif settlement.disposal == "dead_letter":
                fields["dead"] = self._letter(settlement)
        fields |= self.recorded(
            Records(
                settlement.stores, settlement.parts, settlement.chord_starts, settlement.chord_extensions,
                settlement.keeps, settlement.mail, settlement.runs,
            )
        )  # fmt: skip
        if publishes:
            fields["publishes"] = publishes
        if settlement.deferrals:
            fields["deferrals"] = self.deferrals(settlement.deferrals)
        if settlement.releases_permits or settlement.releases_locks or settlement.speculative:
            self._add_ends(fields, settlement)
        return fields

    def _plain(self, settlement: Settlement, carried: list[Any] | None, records: list[bytes] | None) -> list[Any]:
        (store,), delivery = settlement.stores, settlement.delivery
        assert delivery is not None
        record: bytes | int = store.payload
        if records is not None and len(store.payload) >= APART_FROM:
            records.append(store.payload)
            record = len(records)
        fields = [delivery.tag, self._record + store.task_id, record, store.expires or 0]
        if settlement.parts:
            return [*fields, False, self._part(settlement.parts[0])]
        return fields if carried is None else [*fields, carried]

    def _add_ends(self, fields: Fields, settlement: Settlement) -> None:
        """Add the fields that few settlements have: permits and locks to release, and speculative ends."""
        keys = self._broker
        if settlement.releases_permits:
            fields["permits"] = [
                [keys.permits(key), keys.waiting_for_permit(key), keys.concurrency_limits, key, keys.early_acked_prefix]
                for key in settlement.releases_permits
            ]
        if settlement.releases_locks:
            fields["locks"] = [[keys.unique(lock.key), lock.owner] for lock in settlement.releases_locks]
        if settlement.speculative:
            fields["speculative"] = self.speculative(settlement.speculative)

    def recorded(self, records: Records) -> Fields:
        """The arguments of store_results.lua."""
        stores, parts, chord_starts, extensions, keeps, mail, runs = records
        fields: Fields = {}
        if stores:
            fields["stores"] = self.stores(stores)
        if chord_starts:
            fields["chord_starts"] = self.chord_starts(chord_starts)
        if extensions:
            fields["extensions"] = self.extensions(extensions)
        if keeps:
            fields["keeps"] = [[self._group(keep.group_id), keep.seconds] for keep in keeps]
        if parts:
            fields["parts"] = self.parts(parts)
        if mail:
            fields["mail"] = [self._mail(step) for step in mail]
        if runs:
            fields["runs"] = [self._run(run) for run in runs]
        return fields

    def sent(self, publishes: Sequence[Publish], deferrals: Sequence[DelayedPublish]) -> Fields:
        """The arguments of publish_guarded.lua."""
        fields: Fields = {}
        if publishes:
            fields["publishes"] = self.publishes(publishes)
        if deferrals:
            fields["deferrals"] = self.deferrals(deferrals)
        return fields

    def _letter(self, settlement: Settlement) -> list[Any]:
        delivery = settlement.delivery
        assert delivery is not None
        key = self._broker.dead_letters(delivery.queue)
        return [key, delivery.payload, settlement.reason, delivery.queue, DEAD_LETTERS_KEPT]

    def chord_dispatch(self, end: ChordDispatch) -> Fields:
        """The arguments of dispatch_chord.lua."""
        chord = {"group": end.group_id, "base": self._group(end.group_id), "failed": end.failed,
                 "expires": end.expires}  # fmt: skip
        recorded = self.recorded(Records.of_end(end))
        return chord | recorded | self.sent(end.publishes, end.deferrals)

    def speculative(self, ends: Sequence[SpeculativeDispatch]) -> list[Any]:
        """The speculative ends of a settlement. One that cannot be packed is left out: its chord is handed out when it
        is ready, and its end is refused then."""
        found = []
        for end, digest, callback in ends:
            with suppress(*UNWRITABLE):
                found.append([end.group_id, digest, pack(self.chord_dispatch(end)), callback or False])
        return found

    def stores(self, stores: Sequence[ResultWrite]) -> list[Any]:
        keys = self._results
        assert keys is not None or not stores
        packed = [[keys.task(s.task_id), s.payload, s.expires or 0, s.success] for s in stores]  # type: ignore[union-attr]
        for fields, store in zip(packed, stores, strict=True):
            if store.run_state:
                fields.extend((keys.run(store.task_id), store.run_state, store.run_attempt))  # type: ignore[union-attr]
        return packed

    def chord_starts(self, chord_starts: Sequence[ChordStart]) -> list[Any]:
        return [[self._group(j.group_id), j.size, j.expires, j.structure or False] for j in chord_starts]

    def extensions(self, extensions: Sequence[ChordExtension]) -> list[Any]:
        return [[self._group(one.group_id), one.member] for one in extensions]

    def parts(self, parts: Sequence[Part]) -> list[Any]:
        return [self._part(part) for part in parts]

    def _part(self, part: Part) -> list[Any]:
        score = "+inf" if part.position is None else str(part.position)
        member = f"{part.task_id}:{score}"
        packed = [self._group(part.group_id), part.group_id, member, score, part.value, part.callback, part.expires,
                  part.size or False]  # fmt: skip
        # The joins of a run have a size here. Celery's workers count none of them.
        listed = self._results is not None and not self._results.ordered and not part.size
        return [*packed, True] if listed else packed

    def _mail(self, step: MailboxStep) -> list[Any]:
        assert self._results is not None
        value = False if step.value is None else step.value
        return [self._results.run(step.run), step.mailbox, step.kind, step.id, value, self._group(""), step.group_id,
                step.callback, step.expires, step.lasting]  # fmt: skip

    def _run(self, write: RunWrite) -> list[Any]:
        assert self._results is not None
        return [self._results.run(write.run), write.expires, [word for item in write.fields.items() for word in item]]

    def publishes(self, publishes: Sequence[Publish]) -> list[Any]:
        pushes: list[list[Any]] = []
        last: dict[str, list[Any]] = {}
        for p in publishes:
            for key in self.lists_of(p):
                push = last.get(key)
                if push is None or len(push) > PUSHED_AT_ONCE:
                    push = last[key] = [key]
                    pushes.append(push)
                push.append(p.payload)
        return pushes

    def deferrals(self, deferrals: Sequence[DelayedPublish]) -> list[Any]:
        return [
            [uuid4().hex, repr(d.due), key, d.publish.payload] for d in deferrals for key in self.lists_of(d.publish)
        ]

    def list_of(self, queue: str, payload: bytes) -> str:
        """The list that a payload belongs into, by its own priority."""
        return self._broker.list_of(queue, ENVELOPE.priority_of(payload))

    def _group(self, group_id: str) -> str:
        return self._chord + group_id


def is_plain(s: Settlement, carried: bool = False) -> bool:
    """Whether a settlement is an ack and a stored success, and nothing else but its message, if that is ``carried``, or
    one part of a chord."""
    delivery, fence, early_ack, stores, parts, speculative = s[:6]
    if len(stores) != 1 or len(parts) > 1 - carried or not stores[0].payload.startswith(_SUCCESS):
        return False
    if delivery is None or fence != "lease" or early_ack or speculative:
        return False
    if has_nothing_more(s):
        return True
    kept = s.chord_starts or s.chord_extensions or s.keeps or s.mail or s.runs or s.releases_permits or s.releases_locks
    return not (s.disposal != "ack" or kept or s.deferrals or (s.publishes and not carried))
