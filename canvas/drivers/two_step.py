"""Settlements where broker and results are different servers: in steps, each of them safe to repeat.

The order is: does the fence hold; records and parts (a repeated record is the same record, a repeated part is counted
once per task id); then messages and ack in one atomic call on the broker. A crash after the records leaves the lease,
so the task runs again and the rest happens then. A crash after the ack leaves nothing to do.

A chord ends in the same order: records and parts, then its body under a guard kept beside the queue, then it is
forgotten on the results' side. A crash between leaves the chord ready; the sweep fires it again, and the guard stops
the second body.
"""

from collections.abc import Sequence
from typing import Protocol

from canvas.drivers.ports.broker import Broker
from canvas.drivers.ports.results import Results
from canvas.drivers.ports.values import Lease, SettleReply
from canvas.drivers.retry_policy import Delays
from canvas.errors import BrokerError, RefusedError
from canvas.model.message import Delivery, Publish
from canvas.model.settlement import (
    ChordDispatch,
    ChordStart,
    DelayedPublish,
    Keep,
    Part,
    ReadyChord,
    ResultWrite,
    Settlement,
    SettleResult,
)


class StepBroker(Broker, Protocol):
    """A broker's half."""

    def fences(self, settlements: Sequence[Settlement]) -> list[bool]:
        """Of which settlements the fence holds now."""

    def settle(
        self, settlements: Sequence[Settlement], lease: Lease | None
    ) -> tuple[list[SettleResult], list[Delivery]]:
        """Messages, deferrals and disposal of each settlement, whole or not at all; then a lease."""

    def publish_once(self, guard: str, publishes: Sequence[Publish], deferrals: Sequence[DelayedPublish]) -> bool:
        """Send messages unless that guard was used before. Raises RefusedError."""


class StepResults(Results, Protocol):
    """The results' half."""

    def record(
        self,
        stores: Sequence[ResultWrite],
        parts: Sequence[Part],
        joins: Sequence[ChordStart],
        grow: Sequence[str],
        keeps: Sequence[Keep] = (),
    ) -> list[ReadyChord]:
        """Records, parts and chord starts in one atomic call; the chords that became ready. Raises RefusedError."""

    def is_ready(self, group_id: str) -> bool:
        """Whether a chord is ready, and nobody has ended it."""

    def delete_chord(self, group_id: str, failed: bool, expires: int) -> None:
        """Forget a chord whose body has been sent, or which failed; what is left of it expires after so many seconds
        (0: whenever it did before)."""

    def renew(self, every: float) -> int:
        """As the settler's."""

    def stale_ready_chords(self, older_than: float) -> list[ReadyChord]:
        """Chords that have been ready for so many seconds."""


class TwoStepSettler:
    """A Completer in steps. Without results it commits the broker's half alone."""

    def __init__(self, broker: StepBroker, results: StepResults | None) -> None:
        self._broker = broker
        self._results = results

    def settle(
        self, settlements: Sequence[Settlement], lease: Lease | None = None, firings: Sequence[ChordDispatch] = ()
    ) -> SettleReply:
        fired = [self.dispatch_chord(firing) for firing in firings]
        alive = self._fenced(settlements)
        ready, refused = self._record_all(alive)
        doable = [s for s in alive if id(s) not in refused]
        committed, deliveries = self._broker.settle(doable, lease)
        done = {id(s): verdict for s, verdict in zip(doable, committed, strict=True)} | refused
        verdicts = [done.get(id(s), SettleResult(False, [])) for s in settlements]
        if ready:
            first = next((i for i, s in enumerate(settlements) if id(s) in done), 0)
            verdicts[first] = verdicts[first]._replace(ready=ready)
        return SettleReply(verdicts, deliveries, fired)

    def _fenced(self, settlements: Sequence[Settlement]) -> list[Settlement]:
        """The settlements whose fence holds. The same delivery is settled once, however often it is among them."""
        held = self._broker.fences(settlements) if settlements else []
        seen: set[str] = set()
        alive = []
        for settlement, holds in zip(settlements, held, strict=True):
            tag = settlement.delivery.tag if settlement.delivery is not None and settlement.fence != "none" else ""
            if holds and tag not in seen:
                alive.append(settlement)
            if tag and not settlement.begins:
                seen.add(tag)
        return alive

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
                refused[id(settlement)] = SettleResult(False, [], str(exc))
        return ready, refused

    def _record(self, settlements: Sequence[Settlement]) -> list[ReadyChord]:
        stores = [x for s in settlements for x in s.stores]
        parts = [x for s in settlements for x in s.parts]
        joins = [x for s in settlements for x in s.joins]
        grow = [x for s in settlements for x in s.grow]
        keeps = [x for s in settlements for x in s.keeps]
        if parts or joins or grow or keeps:
            return self._counting.record(stores, parts, joins, grow, keeps)
        if stores and self._results is not None:
            self._results.store(stores)
        return []

    @property
    def _counting(self) -> StepResults:
        """The results, where chords are counted. Raises BrokerError when there are none."""
        if self._results is None:
            raise BrokerError("a chord needs a result backend to count its parts; set result_backend")
        return self._results

    def publish_with_chords(
        self, joins: Sequence[ChordStart], messages: Sequence[Publish], delays: Delays = None
    ) -> None:
        self._counting.start_chords(joins)
        self._broker.publish(messages, delays)

    def dispatch_chord(self, firing: ChordDispatch) -> SettleResult:
        results = self._counting
        if not results.is_ready(firing.group_id):
            return SettleResult(False, [])
        recorded = firing.stores or firing.parts or firing.joins
        try:
            ready = results.record(firing.stores, firing.parts, firing.joins, ()) if recorded else []
            held = self._broker.publish_once(firing.group_id, firing.publishes, firing.deferrals)
        except RefusedError as exc:
            return SettleResult(False, [], str(exc))
        results.delete_chord(firing.group_id, firing.failed, firing.expires)
        return SettleResult(held, ready)

    def stale_ready_chords(self, older_than: float) -> list[ReadyChord]:
        return self._results.stale_ready_chords(older_than) if self._results is not None else []

    def renew(self, every: float) -> int:
        return self._results.renew(every) if self._results is not None else 0
