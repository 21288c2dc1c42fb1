"""Entries of periodic tasks in SQL, beside the outbox of the messages that they send."""

from collections.abc import Callable, Sequence
from uuid import uuid4

from sqlalchemy import Connection, delete, func, select

from canvas.drivers.ports.schedules import DueEntries, EntryWrite, StoredEntry
from canvas.drivers.sql.database import Database
from canvas.drivers.sql.dialects import read_clock, upsert
from canvas.drivers.sql.state.tables import MessageTables, key_of
from canvas.errors import RefusedError
from canvas.model.settlement import ReadyChord, Settlement, SettleResult

_AT_ONCE = 500


class SqlSchedules:
    """The ScheduleStore of ``canvas.drivers.ports``."""

    def __init__(
        self, database: Database, tables: MessageTables, commit: Callable[[Connection, Settlement], list[ReadyChord]]
    ) -> None:
        """``commit`` commits a settlement of no delivery in a transaction, and returns the chords that are ready."""
        self._database = database
        self._entries = tables.schedules
        self._commit = commit
        found = self._entries.c
        self._columns = (found.name, found.revision, found.due, found.state, found.definition)

    def due(self, schedule: str, limit: int) -> DueEntries:
        entries = self._entries.c
        mine = entries.schedule == key_of(schedule)

        def work(connection: Connection) -> DueEntries:
            now = read_clock(connection)
            due = select(*self._columns).where(mine, entries.due <= now).order_by(entries.due, entries.entry_key)
            following = select(func.min(entries.due)).where(mine, entries.due > now)
            found = [_stored(*row) for row in connection.execute(due.limit(limit))]
            return DueEntries(now, found, connection.execute(following).scalar())

        return self._database.call(work)

    def read(self, schedule: str, names: Sequence[str] | None = None) -> list[StoredEntry]:
        entries = self._entries.c
        mine = select(*self._columns).where(entries.schedule == key_of(schedule))

        def work(connection: Connection) -> list[StoredEntry]:
            if names is None:
                return sorted(_stored(*row) for row in connection.execute(mine))
            found: dict[str, StoredEntry] = {}
            for first in range(0, len(names), _AT_ONCE):
                keys = [key_of(name) for name in names[first : first + _AT_ONCE]]
                rows = connection.execute(mine.where(entries.entry_key.in_(keys)))
                found |= {entry.name: entry for entry in (_stored(*row) for row in rows)}
            return [found[name] for name in names if name in found]

        return self._database.call(work)

    def write(self, change: EntryWrite, settlement: Settlement | None = None) -> SettleResult:
        token = uuid4().hex
        try:
            return self._database.change(lambda connection: self._write(connection, change, settlement, token))
        except RefusedError as exc:
            return SettleResult(False, [], str(exc))

    def _write(
        self, connection: Connection, change: EntryWrite, settlement: Settlement | None, token: str
    ) -> SettleResult:
        table, keys = self._entries, {"schedule": key_of(change.schedule), "entry_key": key_of(change.name)}
        none = {"name": change.name.encode(), "revision": 0, "token": "", "due": None, "state": b"", "definition": b""}
        connection.execute(upsert(connection, table, list(keys), []), {**keys, **none})
        here = (table.c.schedule == keys["schedule"], table.c.entry_key == keys["entry_key"])
        row = connection.execute(select(table).where(*here).with_for_update()).one()
        if row.token == token:
            return SettleResult(True, [])  # an earlier try wrote it, and its reply was lost
        if row.revision != change.revision:
            if not row.revision:
                connection.execute(delete(table).where(*here))
            return SettleResult(False, [])
        ready = self._commit(connection, settlement) if settlement is not None else []
        values = {"revision": row.revision + 1, "token": token, "due": change.due, "state": change.state}
        if change.definition is not None:
            values["definition"] = change.definition
        connection.execute(table.update().where(*here).values(values))
        return SettleResult(True, ready)

    def remove(self, schedule: str, names: Sequence[str]) -> int:
        entries, keys = self._entries, sorted(map(key_of, names))
        gone = delete(entries).where(entries.c.schedule == key_of(schedule), entries.c.entry_key.in_(keys))
        return self._database.call(lambda connection: int(connection.execute(gone).rowcount)) if names else 0


def _stored(name: bytes, revision: int, due: float | None, state: bytes, definition: bytes) -> StoredEntry:
    return StoredEntry(name.decode(), revision, due, state, definition)
