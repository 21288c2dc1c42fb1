"""Settlements on one server: records, parts, messages and acks in one atomic call."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from canvas.drivers.ports.values import Lease, SettleReply
from canvas.drivers.redis.broker import RedisBroker
from canvas.drivers.redis.results.store import RedisResults, renewed
from canvas.drivers.redis.scripts.arguments import (
    NOTHING,
    UNWRITABLE,
    Packed,
    ScriptArguments,
    fitting,
    pack,
    pack_each,
)
from canvas.drivers.redis.scripts.replies import verdict_of, with_refused
from canvas.drivers.redis.scripts.settle_call import (
    LeaseSources,
    PassThrough,
    ResultSide,
    SettleBatch,
    carry,
    may_carry,
)
from canvas.drivers.retry_policy import Delays
from canvas.drivers.tags import worker_of
from canvas.errors import RefusedError
from canvas.model.message import Publish
from canvas.model.settlement import DONE, ChordDispatch, ChordStart, ReadyChord, Settlement, SettleResult


class RedisSettler:
    """The settler for a broker and results on the same server; their databases may differ."""

    def __init__(self, broker: RedisBroker, results: RedisResults) -> None:
        self._broker = broker
        self._results = results
        self._packing = ScriptArguments(broker.keys, results.keys, broker.bindings)
        self._result_db = str(results.link.address.db)
        self._ready = (results.keys.ready, results.keys.ready_since)
        self._result_side = ResultSide(self._result_db, self._ready)
        self._alive = (broker.keys.alive, broker.keys.workers)

    def settle(
        self,
        settlements: Sequence[Settlement],
        lease: Lease | None = None,
        ends: Sequence[ChordDispatch] = (),
    ) -> SettleReply:
        settling = self._broker.settling
        sources = settling.sources.of(lease)
        carried = self._carried(settlements, ends, sources)
        records: list[bytes] = []
        passed = None if carried is None else carried.fields
        packed = pack_each(settlements, partial(self._packing.settlement, carried=passed, records=records))
        if lease is None and not ends and not any(settlement.delivery for settlement in settlements):
            return SettleReply([verdict_of(one) for one in self._start(packed, None)], [])
        chords = pack_each(ends, self._packing.chord_dispatch) if ends else NOTHING
        worker = lease.worker if lease is not None else worker_of(settlements, lease)
        batch = SettleBatch(worker, packed, chords, carried, records)
        verdicts, ended, leased = settling.make(batch, lease, self._result_side, sources)
        dispatched = [verdict_of(one) for one in ended] if ended else []
        verdicts = [DONE if one == 1 else verdict_of(one) for one in verdicts]
        return SettleReply(verdicts, dispatched, leased if lease is not None else None)

    def _carried(
        self, settlements: Sequence[Settlement], ends: Sequence[ChordDispatch], sources: LeaseSources
    ) -> PassThrough | None:
        if not sources.lists or not may_carry(settlements, ends):
            return None
        (message,) = settlements[0].publishes
        try:
            return carry(message.payload, self._packing.lists_of(message), sources)
        except UNWRITABLE:
            return None  # pack_each reports why it cannot be sent

    def publish_with_chords(
        self, chord_starts: Sequence[ChordStart], messages: Sequence[Publish], delays: Delays = None
    ) -> None:
        first = fitting(messages)
        settlement = Settlement(None, fence="none", chord_starts=list(chord_starts), publishes=list(messages[:first]))
        for found in self._start(pack_each([settlement], self._packing.settlement), delays):
            refused = "" if found == 1 else verdict_of(found).refused
            if refused:
                raise RefusedError(refused)
        if first < len(messages):
            self._broker.publish(messages[first:], delays)

    def _start(self, packed: Packed, delays: Delays) -> list[Any]:
        broker = self._broker
        keys = [broker.keys.delayed, broker.keys.delayed_messages, *self._ready, *self._alive]
        arguments = [str(broker.link.address.db), self._result_db, packed[0]]
        verdicts: list[Any] = broker.guards.call("publish_with_chords", keys, arguments, delays)
        return with_refused(verdicts, packed[1]) if packed[1] else verdicts

    def dispatch_chord(self, end: ChordDispatch) -> SettleResult:
        broker = self._broker
        keys = [*self._ready, broker.keys.delayed, broker.keys.delayed_messages, *self._alive]
        arguments = [str(broker.link.address.db), self._result_db, pack(self._packing.chord_dispatch(end))]
        return verdict_of(broker.link.call("dispatch_chord", keys, arguments))

    def stale_ready_chords(self, older_than: float) -> list[ReadyChord]:
        return self._results.stale_ready_chords(older_than)

    def renew(self, every: float) -> int:
        broker = self._broker
        return renewed(broker.link, self._alive[0], str(broker.link.address.db), self._result_db, every)
