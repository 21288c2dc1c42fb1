"""Settlements where broker and results are different servers: in steps, each of them safe to repeat.

The order is: check the fence; write records and parts (a repeated record is the same record, a repeated part is counted
once per task id); commit messages and ack in one atomic call on the broker. A crash after the records leaves the lease,
so the task runs again, and the other steps follow then. A crash after the ack leaves nothing to do.

A chord ends in the same order: records and parts, then its body under a guard that the broker keeps, then the chord is
deleted in the result store. A crash in between leaves the chord ready; the sweep sends its body again, and the guard
stops the second body.
"""

from collections.abc import Iterable, Sequence

from canvas.drivers.ports.broker import BrokerHalf, OneServerAway
from canvas.drivers.ports.chords import ChordStore, Records
from canvas.drivers.ports.results import ResultStore
from canvas.drivers.ports.settler import PartlySettled
from canvas.drivers.ports.values import Lease, SettleReply
from canvas.drivers.retry_policy import Delays
from canvas.errors import BrokerError, RefusedError
from canvas.model.message import Publish
from canvas.model.settlement import (
    ChordDispatch,
    ChordStart,
    ReadyChord,
    Settlement,
    SettleResult,
)


def fenced(settlements: Sequence[Settlement], held: Iterable[bool]) -> list[Settlement]:
    """The settlements whose fence holds; ``held``: whether it does, for each. A delivery that is among them several
    times is settled once."""
    seen: set[str] = set()
    alive = []
    for settlement, holds in zip(settlements, held, strict=True):
        tag = settlement.delivery.tag if settlement.delivery is not None and settlement.fence != "none" else ""
        if holds and tag not in seen:
            alive.append(settlement)
        if tag and not settlement.early_ack:
            seen.add(tag)
    return alive


class TwoStepSettler:
    """A settler in steps. Without a store it commits the broker's half alone."""

    def __init__(self, broker: BrokerHalf, results: ResultStore | None, chords: ChordStore | None) -> None:
        self._broker = broker
        self._results = results
        self._chords = chords

    def settle(
        self,
        settlements: Sequence[Settlement],
        lease: Lease | None = None,
        ends: Sequence[ChordDispatch] = (),
    ) -> SettleReply:
        dispatched = [self._end(end) for end in ends]
        holds = self._broker.fences(settlements) if settlements else ()
        alive = fenced(settlements, map(bool, holds))
        ready, refused = self._record_all(alive)
        doable = [s for s in alive if id(s) not in refused]
        committed, leased = self._broker.settle(doable, lease)
        done = {id(s): verdict for s, verdict in zip(doable, committed, strict=True)} | refused
        verdicts = [
            done.get(id(s)) or SettleResult(False, [], unsettled=known is None)
            for s, known in zip(settlements, holds, strict=True)
        ]
        if ready:
            first = next((i for i, s in enumerate(settlements) if id(s) in done), 0)
            verdicts[first] = verdicts[first]._replace(ready=ready)
        reply = SettleReply(verdicts, dispatched, leased if lease is not None else None)
        if leased.partial and any(verdict.unsettled for verdict in (*verdicts, *dispatched)):
            raise PartlySettled("a server is away whose settlements are left; others answer", reply)
        return reply

    def _end(self, end: ChordDispatch) -> SettleResult:
        try:
            return self.dispatch_chord(end)
        except OneServerAway:
            return SettleResult(False, [], unsettled=True)

    def _record_all(self, settlements: Sequence[Settlement]) -> tuple[list[ReadyChord], dict[int, SettleResult]]:
        """The chords that became ready, and verdicts on settlements, by identity, whose records are refused."""
        try:
            return self._record(settlements), {}
        except RefusedError:
            ready: list[ReadyChord] = []
        refused = {}
        for settlement in settlements:
            try:
                ready += self._record([settlement])
            except RefusedError as exc:
                refused[id(settlement)] = SettleResult(False, [], str(exc), nothing_sent=True)
        return ready, refused

    def _record(self, settlements: Sequence[Settlement]) -> list[ReadyChord]:
        records = Records.of(settlements)
        if any(records[1:]):
            return self._counting.record(records)
        if records.stores and self._results is not None:
            self._results.store(records.stores)
        return []

    @property
    def _counting(self) -> ChordStore:
        """Where chords are counted. Raises BrokerError when they are not."""
        if self._chords is None:
            raise BrokerError("a chord needs a result backend to count its parts; set result_backend")
        return self._chords

    def publish_with_chords(
        self, chord_starts: Sequence[ChordStart], messages: Sequence[Publish], delays: Delays = None
    ) -> None:
        self._counting.start_chords(chord_starts)
        self._broker.publish(messages, delays)

    def dispatch_chord(self, end: ChordDispatch) -> SettleResult:
        chords = self._counting
        readiness = chords.readiness(end.group_id)
        if readiness is None:
            return SettleResult(False, [])
        records = Records.of_end(end)
        try:
            ready = chords.record(records) if any(records) else []
            held = self._broker.publish_once(f"{end.group_id}:{readiness}", end.publishes, end.deferrals)
        except RefusedError as exc:
            return SettleResult(False, [], str(exc))
        chords.delete_chord(end.group_id, end.failed, end.expires)
        return SettleResult(held, ready)

    def stale_ready_chords(self, older_than: float) -> list[ReadyChord]:
        return self._chords.stale_ready_chords(older_than) if self._chords is not None else []

    def renew(self, every: float) -> int:
        return self._chords.renew(every) if self._chords is not None else 0
