"""Heartbeats of workers, in SQL, and the recovery of the leases of dead ones."""

import time
from collections.abc import Callable, Collection, Sequence
from math import inf

from sqlalchemy import Connection, delete, func, or_, select, update

from canvas.drivers.kombu_envelope import ENVELOPE
from canvas.drivers.ports.values import FORGOTTEN_AFTER, MAY_COME_BACK, MISSED_FOR, ORPHANS_AGAIN, HeartbeatReply
from canvas.drivers.sql.database import Database
from canvas.drivers.sql.dialects import read_clock, upsert
from canvas.drivers.sql.state.leases import LeaseRow, LostMark, SqlLeases
from canvas.drivers.sql.state.outboxes import SqlOutboxes
from canvas.drivers.sql.state.tables import MessageTables
from canvas.drivers.stored_messages import delivery_count, loss_headers, redelivered
from canvas.drivers.tags import number_of_tag, tag_of
from canvas.model.message import Delivery
from canvas.model.settlement import Orphan, Settlement

_LOST_FOR = 86_400.0
"""Seconds within which the message of a dead worker is delivered again, for the delivery to be counted."""
_SWEEP_EVERY = 60
"""Seconds between two deletions of rows that have expired."""
_SWEPT = "swept"
"""The counter that has the time of the latest deletion."""


class SqlRecovery:
    """The Recovery of ``canvas.drivers.ports``. The broker delivers the messages of dead workers again."""

    dropped: Callable[[str], None] = staticmethod(lambda worker: None)
    """Called when the leases of a worker have ended."""
    to_entry: Callable[[str, bytes], bytes]
    """Makes the entry of an outbox of a queue and a message."""
    silence = inf

    def __init__(self, database: Database, tables: MessageTables, leases: SqlLeases, outboxes: SqlOutboxes) -> None:
        self._database = database
        self._tables = tables
        self._rows = leases
        self._outboxes = outboxes
        self._next_sweep = time.monotonic() + _SWEEP_EVERY

    def connect(self, dropped: Callable[[str], None], to_entry: Callable[[str, bytes], bytes]) -> None:
        """See ``StateParts``."""
        self.dropped, self.to_entry = dropped, to_entry

    def heartbeat(self, worker: str, queues: Sequence[str], ttl: float) -> HeartbeatReply:
        workers, leases = self._tables.workers, self._tables.leases
        self._database.absence.beat(ttl)

        def work(connection: Connection) -> HeartbeatReply:
            now = read_clock(connection)
            values = {"expires_at": now + ttl, "silent_since": None}
            known = bool(connection.execute(update(workers).where(workers.c.worker == worker).values(values)).rowcount)
            if not known:
                connection.execute(upsert(connection, workers, ["worker"], list(values)), {"worker": worker, **values})
            back = update(leases).where(leases.c.worker == worker, leases.c.early_acked, leases.c.reason == "")
            connection.execute(back.values(orphaned_at=None))
            live = select(func.count()).select_from(workers).where(workers.c.expires_at > now)
            return HeartbeatReply(connection.execute(live).scalar_one(), known)

        return self._database.change(work)

    def rest(self, worker: str) -> bool:
        workers, leases = self._tables.workers, self._tables.leases

        def work(connection: Connection) -> bool:
            held = select(leases.c.tag).where(leases.c.worker == worker).limit(1)
            if connection.execute(held).first() is not None:
                return False
            connection.execute(delete(workers).where(workers.c.worker == worker))
            return True

        return self._database.change(work)

    def unregister(self, worker: str) -> None:
        self._recover(worker, counts=False)

    def recover_worker(self, worker: str) -> int:
        return self._recover(worker, counts=True)

    def _recover(self, worker: str, counts: bool, orphans_in: float = 0.0, silent: bool = False) -> int:
        """End the leases of a worker, and unregister it. Other workers may settle the tasks that it had begun,
        ``orphans_in`` seconds from now. ``silent``: only if it is still silent; another process may have recovered it
        meanwhile."""
        workers, leases = self._tables.workers, self._tables.leases

        def work(connection: Connection) -> int | None:
            gone = delete(workers).where(workers.c.worker == worker)
            if silent:
                # This transaction may have been tried for as long as the database was unreachable to all workers.
                if not self._database.absence.over_for(MISSED_FOR):
                    return None
                now = read_clock(connection)
                gone = gone.where(workers.c.expires_at <= now, workers.c.silent_since <= now - MISSED_FOR)
            # The row is locked before the leases: the worker itself locks them in this order with a heartbeat.
            if not connection.execute(gone).rowcount and silent:
                return None
            total = self._return(connection, self._rows.of(connection, worker), counts)
            total += self._outboxes.release(connection, worker)
            begun = update(leases).where(
                leases.c.worker == worker, leases.c.early_acked, leases.c.orphaned_at.is_(None)
            )
            connection.execute(begun.values(orphaned_at=read_clock(connection) + orphans_in))
            return total

        total = self._database.change(work)
        if total is None:
            return 0
        self.dropped(worker)
        return total

    def _return(self, connection: Connection, leases: Sequence[LeaseRow], counts: bool) -> int:
        """End leases. Returns how many. ``counts``: their messages count the delivery. The messages that the broker
        does not have any more go into the outbox of all workers."""
        detached = sorted((one for one in leases if one.detached), key=lambda one: number_of_tag(one.tag))
        entries = []
        for one in detached:
            headers = loss_headers(ENVELOPE, one.payload, one.started) if counts else {}
            entries.append(self.to_entry(one.queue, redelivered(ENVELOPE, one.payload, **headers)))
        self._outboxes.add_to_all(connection, entries)
        self._rows.end(connection, [one.tag for one in detached])
        lost: dict[str, LostMark] = {}
        if counts:
            until = read_clock(connection) + _LOST_FOR
            lost = {one.tag: LostMark(one.started, delivery_count(ENVELOPE, one.payload), until) for one in leases}
        dropped = self._rows.drop(connection, [one.tag for one in leases if not one.detached], lost)
        return len(detached) + dropped

    def recover_dead_workers(self) -> int:
        workers, total = self._tables.workers, 0

        def missed(connection: Connection) -> list[str]:
            """Workers that have been without a heartbeat for some time. After the database was unreachable no
            heartbeat is left, and the first worker that is back must not take the others for dead."""
            now = read_clock(connection)
            silent = workers.c.expires_at <= now
            note = update(workers).where(silent, workers.c.silent_since.is_(None)).values(silent_since=now)
            if connection.execute(select(func.count()).select_from(workers).where(silent)).scalar_one() == 0:
                return []
            connection.execute(note)
            long = select(workers.c.worker).where(silent, workers.c.silent_since <= now - MISSED_FOR)
            return list(connection.execute(long).scalars())

        silent = self._database.call(missed)
        # Workers that were noted as silent before an absence have had no chance to send a heartbeat.
        for worker in silent:
            # The worker may only be unreachable: it then settles the tasks that it has begun when it is back.
            total += self._recover(worker, counts=True, orphans_in=MAY_COME_BACK, silent=True)
        # A call of a worker may have come after its recovery: one that was on its way, or of a process that had stood
        # still.
        if self._database.call(lambda connection: self._outboxes.any_of_unknown(connection, workers)):
            total += self._database.change(lambda connection: self._outboxes.release_unknown(connection, workers))
        if time.monotonic() >= self._next_sweep:
            self._next_sweep = time.monotonic() + _SWEEP_EVERY
            total += self._database.change(self._sweep)
        return total

    def _sweep(self, connection: Connection) -> int:
        """Delete expired rows, and end the leases of workers that are not registered. Returns how many leases."""
        tables, counters, now = self._tables, self._tables.counters, read_clock(connection)
        connection.execute(upsert(connection, counters, ["name"], []), {"name": _SWEPT, "value": 0})
        due = update(counters).where(counters.c.name == _SWEPT, counters.c.value <= now - _SWEEP_EVERY)
        if not connection.execute(due.values(value=int(now))).rowcount:
            return 0
        for table in tables.expiring:
            connection.execute(delete(table).where(table.c.expires_at <= now))
        connection.execute(delete(tables.rate_limits).where(tables.rate_limits.c.next_turn <= now))
        leases, workers = tables.leases, select(tables.workers.c.worker)
        abandoned = or_(leases.c.early_acked.is_(False), leases.c.orphaned_at.is_(None))
        old = select(leases.c.worker).where(leases.c.leased_at <= now - FORGOTTEN_AFTER, abandoned)
        unknown = connection.execute(old.where(leases.c.worker.not_in(workers)).distinct()).scalars().all()
        return sum(self._return(connection, self._rows.of(connection, worker), False) for worker in unknown)

    def mark_started(self, delivery: Delivery) -> None:
        self._database.call(lambda connection: self._rows.mark(connection, [delivery.tag], started=True))

    def lease_number(self, tag: str) -> int:
        return number_of_tag(tag)

    def lease_tag(self, worker: str, number: int) -> str:
        return tag_of(worker, number)

    def release_unknown(self, worker: str, held: Collection[str]) -> int:
        def work(connection: Connection) -> int:
            unknown = [one for one in self._rows.of(connection, worker) if one.tag not in held]
            return self._return(connection, unknown, False)

        return self._database.change(work)

    def leases(self, worker: str) -> list[Delivery]:
        found = self._database.call(lambda connection: self._rows.of(connection, worker))
        return sorted((one.delivery for one in found), key=lambda one: number_of_tag(one.tag))

    def on_broken(self, call: Callable[[], object]) -> None:
        """Nothing: leases do not end with a connection."""

    def still_leased(self, delivery: Delivery, early_acked: bool) -> bool:
        settlement = Settlement(delivery, "early_acked" if early_acked else "lease")
        return self._database.call(lambda connection: self._rows.holds(connection, [settlement], lock=False))[0]

    def leased_message(self, tag: str) -> bytes | None:
        found = self._database.call(lambda connection: self._rows.locked(connection, tag))
        return found.payload if found is not None else None

    def has_orphans(self) -> bool:
        leases = self._tables.leases
        any_orphan = select(leases.c.tag).where(leases.c.orphaned_at.is_not(None)).limit(1)
        return self._database.call(lambda connection: connection.execute(any_orphan).first() is not None)

    def claim_orphans(self) -> list[Orphan]:
        return self._database.change(lambda connection: self._rows.orphans(connection, ORPHANS_AGAIN))

    def orphan_lease(self, tag: str, reason: str) -> bool:
        def work(connection: Connection) -> bool:
            now = read_clock(connection)
            return bool(self._rows.mark(connection, [tag], early_acked=True, reason=reason, orphaned_at=now))

        return self._database.change(work)
