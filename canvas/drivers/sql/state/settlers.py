"""Settlements of messages whose state is in SQL: with the results in one transaction, or in two steps with results
elsewhere."""

from collections.abc import Sequence

from sqlalchemy import Connection, select, update

from canvas.drivers.ports.chords import Records
from canvas.drivers.ports.values import Lease, LeaseReply, SettleReply
from canvas.drivers.retry_policy import Delays
from canvas.drivers.sql.chords import SqlChords
from canvas.drivers.sql.database import Database
from canvas.drivers.sql.dialects import read_clock, upsert
from canvas.drivers.sql.state.coordination import SqlCoordination
from canvas.drivers.sql.state.dead_letters import SqlDeadLetters
from canvas.drivers.sql.state.leases import SqlLeases
from canvas.drivers.sql.state.outboxes import SqlOutboxes
from canvas.drivers.sql.state.tables import MessageTables, key_of
from canvas.drivers.two_step import fenced
from canvas.errors import RefusedError
from canvas.model.ids import new_id
from canvas.model.message import Publish
from canvas.model.settlement import (
    ChordDispatch,
    ChordStart,
    DelayedPublish,
    ReadyChord,
    Settlement,
    SettleResult,
)

_LOST = SettleResult(False, [])
_NOTHING_LEASED = LeaseReply([], 0, 0.0)
_REPEATED_FOR = 3_600.0
"""Seconds for which it is known that a call was made."""
_DISPATCHED_FOR = 86_400.0
"""Seconds for which it is known that the body of a chord was sent."""


class SqlMessageHalf:
    """The BrokerHalf of ``canvas.drivers.ports``: all of a settlement but its records and parts. Messages go into
    outboxes."""

    def __init__(
        self, database: Database, tables: MessageTables, leases: SqlLeases, outboxes: SqlOutboxes,
        coordination: SqlCoordination, letters: SqlDeadLetters,
    ) -> None:  # fmt: skip
        self._database = database
        self._guards = tables.guards
        self.leases = leases
        self.outboxes = outboxes
        self._coordination = coordination
        self._letters = letters

    def publish(self, messages: Sequence[Publish], delays: Delays = None) -> None:
        if messages:
            self._database.call(lambda connection: self.outboxes.add(connection, messages))

    def fences(self, settlements: Sequence[Settlement]) -> list[bool]:
        return self._database.call(lambda connection: self.leases.holds(connection, settlements, lock=False))

    def settle(self, settlements: Sequence[Settlement], lease: Lease | None) -> tuple[list[SettleResult], LeaseReply]:
        """Leases nothing: the broker delivers messages."""
        call = new_id()

        def work(connection: Connection) -> list[SettleResult]:
            held = self.leases.holds(connection, settlements, lock=True)
            self.commit(connection, self.undone(connection, fenced(settlements, held), call))
            return [SettleResult(holds, []) for holds in held]

        return (self._database.change(work) if settlements else []), _NOTHING_LEASED

    def undone(self, connection: Connection, settlements: Sequence[Settlement], call: str) -> Sequence[Settlement]:
        """The settlements without those that an earlier try of this call has committed, whose reply was lost. Those
        with a fence stay: their fence no longer holds once they are committed."""
        with_fences = [one for one in settlements if one.fence != "none" and one.delivery is not None]
        if len(with_fences) == len(settlements) or self._begins(connection, call, _REPEATED_FOR):
            return settlements
        return with_fences

    def _begins(self, connection: Connection, guard: str, seconds: float) -> bool:
        """Use a guard, and keep it for some time; False where it was used before."""
        guards, mine = self._guards, self._guards.c.guard == guard
        connection.execute(upsert(connection, guards, ["guard"], []), {"guard": guard, "expires_at": None})
        if connection.execute(select(guards.c.expires_at).where(mine).with_for_update()).scalar() is not None:
            return False
        connection.execute(update(guards).where(mine).values(expires_at=read_clock(connection) + seconds))
        return True

    def commit(self, connection: Connection, settlements: Sequence[Settlement]) -> None:
        """Apply the effects of settlements whose fences hold, in a transaction of the caller's."""
        self.outboxes.add(connection, [one for s in settlements for one in s.publishes])
        for settlement in settlements:
            if settlement.disposal == "dead_letter" and settlement.delivery is not None:
                self._letters.add(connection, settlement)
        deliveries = [(s, s.delivery.tag) for s in settlements if s.delivery is not None]
        early = [tag for s, tag in deliveries if s.early_ack]
        if early:
            self.leases.mark(connection, early, early_acked=True)
        self.leases.end(connection, {tag for _, tag in deliveries}.difference(early))
        for key, tag in sorted((key, tag) for s, tag in deliveries for key in s.releases_permits):
            self._coordination.release_permit(connection, key, tag)
        for lock in sorted(lock for s in settlements for lock in s.releases_locks):
            self._coordination.free_lock(connection, lock)

    def publish_once(self, guard: str, publishes: Sequence[Publish], deferrals: Sequence[DelayedPublish]) -> bool:

        def work(connection: Connection) -> bool:
            begins = self._begins(connection, key_of(guard), _DISPATCHED_FOR)
            if begins:
                self.outboxes.add(connection, publishes)
            return begins

        return self._database.change(work)


class SqlSettler:
    """The Settler of ``canvas.drivers.ports`` for results in the same database: each call is one transaction."""

    def __init__(self, database: Database, half: SqlMessageHalf, chords: SqlChords) -> None:
        self._database = database
        self._half = half
        self._chords = chords

    def settle(
        self, settlements: Sequence[Settlement], lease: Lease | None = None, ends: Sequence[ChordDispatch] = ()
    ) -> SettleReply:
        dispatched = [self.dispatch_chord(end) for end in ends]
        verdicts = self._settled(settlements) if settlements else []
        return SettleReply(verdicts, dispatched, _NOTHING_LEASED if lease is not None else None)

    def _settled(self, settlements: Sequence[Settlement]) -> list[SettleResult]:
        """The verdicts on settlements. Those that the database refuses together are tried one by one."""
        call = new_id()
        try:
            return self._database.change(lambda connection: self._commit(connection, settlements, call))
        except RefusedError as exc:
            if len(settlements) == 1:
                return [SettleResult(False, [], str(exc), nothing_sent=True)]
        return [verdict for settlement in settlements for verdict in self._settled([settlement])]

    def _commit(self, connection: Connection, settlements: Sequence[Settlement], call: str) -> list[SettleResult]:
        alive = fenced(settlements, self._half.leases.holds(connection, settlements, lock=True))
        ready = self.commit(connection, self._half.undone(connection, alive, call))
        held = {id(one) for one in alive}
        verdicts = [SettleResult(True, []) if id(one) in held else _LOST for one in settlements]
        if ready:
            first = next(place for place, verdict in enumerate(verdicts) if verdict.held)
            verdicts[first] = verdicts[first]._replace(ready=ready)
        return verdicts

    def commit(self, connection: Connection, settlements: Sequence[Settlement]) -> list[ReadyChord]:
        """Apply the effects of settlements whose fences hold, in a transaction of the caller's. Returns the chords that
        are ready."""
        ready = self._chords.write(connection, Records.of(settlements))
        self._half.commit(connection, settlements)
        return ready

    def publish_with_chords(
        self, chord_starts: Sequence[ChordStart], messages: Sequence[Publish], delays: Delays = None
    ) -> None:
        starting = Settlement(None, fence="none", chord_starts=chord_starts, publishes=messages)
        (verdict,) = self._settled([starting])
        if verdict.refused:
            raise RefusedError(verdict.refused)

    def dispatch_chord(self, end: ChordDispatch) -> SettleResult:
        def work(connection: Connection) -> SettleResult:
            if not self._chords.end(connection, end.group_id, end.failed, end.expires):
                return _LOST
            ready = self._chords.write(connection, Records.of_end(end))
            self._half.outboxes.add(connection, end.publishes)
            return SettleResult(True, ready)

        try:
            return self._database.change(work)
        except RefusedError as exc:
            return SettleResult(False, [], str(exc))

    def stale_ready_chords(self, older_than: float) -> list[ReadyChord]:
        return self._chords.stale_ready_chords(older_than)

    def renew(self, every: float) -> int:
        return self._chords.renew(every)
