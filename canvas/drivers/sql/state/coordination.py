"""The state that workers share through SQL: revocations, rates, concurrency permits, the locks of unique tasks."""

from collections.abc import Sequence
from uuid import uuid4

from sqlalchemy import Connection, delete, func, select, update

from canvas.drivers.retry_policy import Delays
from canvas.drivers.sql.database import Database
from canvas.drivers.sql.dialects import read_clock, upsert
from canvas.drivers.sql.state.leases import SqlLeases
from canvas.drivers.sql.state.messages import REVISION
from canvas.drivers.sql.state.outboxes import SqlOutboxes
from canvas.drivers.sql.state.tables import MessageTables, key_of
from canvas.model.message import Delivery, Publish
from canvas.model.settlement import UniqueLock


class SqlCoordination:
    """The Coordination of ``canvas.drivers.ports``."""

    def __init__(self, database: Database, tables: MessageTables, leases: SqlLeases, outboxes: SqlOutboxes) -> None:
        self._database = database
        self._tables = tables
        self._leases = leases
        self._outboxes = outboxes

    def revoke(self, entries: Sequence[str], seconds: float) -> None:
        if entries:
            self._database.change(lambda connection: self._revoke(connection, entries, seconds))

    def _revoke(self, connection: Connection, entries: Sequence[str], seconds: float) -> None:
        revoked, counters = self._tables.revoked, self._tables.counters
        connection.execute(upsert(connection, counters, ["name"], []), {"name": REVISION, "value": 0})
        # One process at a time: a reader that knows this version must not miss an entry of it.
        counter = select(counters.c.value).where(counters.c.name == REVISION).with_for_update()
        version, now = connection.execute(counter).scalar_one(), read_clock(connection)
        keys = {key_of(entry): entry for entry in entries}
        connection.execute(delete(revoked).where(revoked.c.expires_at <= now))
        known = connection.execute(select(revoked.c.entry_key).where(revoked.c.entry_key.in_(keys))).scalars().all()
        rows = [
            {"entry_key": key, "entry": keys[key].encode("utf-8", "surrogatepass"), "expires_at": now + seconds}
            for key in sorted(keys)
        ]
        connection.execute(upsert(connection, revoked, ["entry_key"], ["expires_at"]), rows)
        if len(known) < len(keys):
            connection.execute(update(counters).where(counters.c.name == REVISION).values(value=version + 1))

    def revoked(self) -> tuple[int, list[str]]:
        revoked, counters = self._tables.revoked, self._tables.counters

        def work(connection: Connection) -> tuple[int, list[str]]:
            # The version is the first that is read: an entry that comes then is read again.
            version = connection.execute(select(counters.c.value).where(counters.c.name == REVISION)).scalar()
            kept = select(revoked.c.entry).where(revoked.c.expires_at > read_clock(connection))
            entries = connection.execute(kept).scalars()
            return int(version or 0), [entry.decode("utf-8", "surrogatepass") for entry in entries]

        return self._database.call(work)

    def reserve_rate_slot(self, key: str, interval: float) -> float:
        turns, row_key = self._tables.rate_limits, key_of(key)

        def work(connection: Connection) -> float:
            connection.execute(upsert(connection, turns, ["rate_key"], []), {"rate_key": row_key, "next_turn": 0.0})
            row = select(turns.c.next_turn).where(turns.c.rate_key == row_key).with_for_update()
            turn, now = connection.execute(row).scalar_one(), read_clock(connection)
            at = max(turn, now)
            connection.execute(update(turns).where(turns.c.rate_key == row_key).values(next_turn=at + interval))
            return 0.0 if at <= now else at

        return self._database.change(work)

    def acquire_permit(self, key: str, limit: int, delivery: Delivery) -> bool:
        permits, permit_key = self._tables.permits, key_of(key)

        def work(connection: Connection) -> bool:
            lease = self._leases.locked(connection, delivery.tag)
            self._lock_limit(connection, permit_key)
            mine = (permits.c.permit_key == permit_key, permits.c.tag == delivery.tag)
            if connection.execute(select(permits.c.tag).where(*mine)).first() is not None:
                return True
            if lease is None or lease.early_acked:
                return False
            if self._in_use(connection, permit_key) < limit:
                connection.execute(permits.insert(), {"permit_key": permit_key, "tag": delivery.tag})
                return True
            self._leases.end(connection, [delivery.tag])
            connection.execute(self._tables.blocked.insert(), {"permit_key": permit_key, "payload": delivery.payload})
            self._set_limit(connection, permit_key, limit)
            return False

        return self._database.change(work)

    def _lock_limit(self, connection: Connection, permit_key: str) -> int:
        """Lock a key against other processes. Returns its limit, as its last blocked message knew it."""
        limits = self._tables.limits
        connection.execute(
            upsert(connection, limits, ["permit_key"], []), {"permit_key": permit_key, "permits": 0}
        )  # fmt: skip
        row = select(limits.c.permits).where(limits.c.permit_key == permit_key).with_for_update()
        return int(connection.execute(row).scalar_one())

    def _set_limit(self, connection: Connection, permit_key: str, limit: int) -> None:
        limits = self._tables.limits
        connection.execute(update(limits).where(limits.c.permit_key == permit_key).values(permits=limit))

    def _in_use(self, connection: Connection, permit_key: str) -> int:
        """How many permits of a key belong to messages that are still leased."""
        permits, leases = self._tables.permits, self._tables.leases
        held = select(leases.c.tag).where(leases.c.tag == permits.c.tag).exists()
        connection.execute(delete(permits).where(permits.c.permit_key == permit_key, ~held))
        count = select(func.count()).select_from(permits).where(permits.c.permit_key == permit_key)
        return int(connection.execute(count).scalar_one())

    def release_permit(self, connection: Connection, key: str, tag: str) -> None:
        """Release the permit of a lease, in the caller's transaction; the message that has waited longest gets it."""
        permits, permit_key = self._tables.permits, key_of(key)
        limit = self._lock_limit(connection, permit_key)
        connection.execute(delete(permits).where(permits.c.permit_key == permit_key, permits.c.tag == tag))
        self._enqueue(connection, permit_key, limit)

    def _enqueue(self, connection: Connection, permit_key: str, limit: int) -> int:
        """Move blocked messages for which there are permits into the outbox of all workers. Returns how many."""
        blocked, limits = self._tables.blocked, self._tables.limits
        free = limit - self._in_use(connection, permit_key)
        waiting = select(blocked.c.id, blocked.c.payload).where(blocked.c.permit_key == permit_key)
        rows = connection.execute(waiting.order_by(blocked.c.id).limit(max(0, free))).all()
        if rows:
            connection.execute(delete(blocked).where(blocked.c.id.in_([row.id for row in rows])))
            self._outboxes.add_to_all(connection, [row.payload for row in rows])
        left = select(blocked.c.id).where(blocked.c.permit_key == permit_key).limit(1)
        if connection.execute(left).first() is None:
            connection.execute(delete(limits).where(limits.c.permit_key == permit_key))
        return len(rows)

    def enqueue_blocked(self) -> int:
        keys = select(self._tables.blocked.c.permit_key).distinct()

        def work(connection: Connection, key: str) -> int:
            return self._enqueue(connection, key, self._lock_limit(connection, key))

        found = self._database.call(lambda connection: sorted(connection.execute(keys).scalars()))
        return sum(self._database.change(lambda connection, key=key: work(connection, key)) for key in found)  # type: ignore[misc]

    def publish_unique(self, message: Publish, lock: UniqueLock, seconds: float, delays: Delays = None) -> str | None:
        locks, lock_key, token = self._tables.locks, key_of(lock.key), uuid4().hex

        def work(connection: Connection) -> str | None:
            free = {"lock_key": lock_key, "owner": "", "token": "", "expires_at": 0.0}
            connection.execute(upsert(connection, locks, ["lock_key"], []), free)
            row = connection.execute(select(locks).where(locks.c.lock_key == lock_key).with_for_update()).one()
            now = read_clock(connection)
            if row.token == token:
                return None  # an earlier try sent the message, and its reply was lost
            if row.expires_at > now:
                return str(row.owner)
            values = {"owner": lock.owner, "token": token, "expires_at": now + seconds}
            connection.execute(update(locks).where(locks.c.lock_key == lock_key).values(values))
            self._outboxes.add(connection, [message])
            return None

        return self._database.change(work)

    def release_lock(self, lock: UniqueLock) -> None:
        self._database.call(lambda connection: self.free_lock(connection, lock))

    def free_lock(self, connection: Connection, lock: UniqueLock) -> None:
        """Like ``release_lock``, in a transaction of the caller's."""
        locks = self._tables.locks
        connection.execute(delete(locks).where(locks.c.lock_key == key_of(lock.key), locks.c.owner == lock.owner))
