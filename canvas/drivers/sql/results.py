"""Records and groups in Celery's tables."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, NamedTuple

from sqlalchemy import Connection, and_, delete, not_, or_, select

from canvas.drivers.polling import AsyncPollingWatch, BlockingReads, PollingWatch
from canvas.drivers.record_columns import OWN
from canvas.drivers.sql.celery_tables import StoreTables
from canvas.drivers.sql.connections.announcements import announce
from canvas.drivers.sql.database import Database
from canvas.drivers.sql.dialects import read_clock, unix_time, upsert
from canvas.drivers.sql.run_index import of_earlier_attempts, write_state
from canvas.model import states
from canvas.model.settlement import ResultWrite

_AT_ONCE = 500
"""Ids in one query."""


class _Addition(NamedTuple):
    """The part of a record that Celery's table does not have."""

    success: bool
    expires: int | None
    fields: bytes | None
    """The fields that canvas adds to Celery's record, as one encoded object."""


class SqlResults(BlockingReads):
    """The ResultStore of ``canvas.drivers.ports``.

    A record that is kept for the usual time has no time of expiry: ``cleanup`` deletes it. The times of others, which a
    workflow's run or ``result_failure_expires`` gives, are in a table of canvas' own.
    """

    serializer = None
    expires_records = False
    shared = True

    def __init__(self, database: Database, tables: StoreTables) -> None:
        self.database = database
        self.tables = tables
        self._tasks = tables.tasks
        self._groups = tables.groups
        self._state = tables.state
        self._additions = self._state.additions

    @cached_property
    def task_class(self) -> type[Any]:
        """The class that SQLAlchemy maps to the table of records, for programs that query it."""
        from canvas.drivers.sql.celery_sessions import task_class  # imported late: canvas itself needs no such class

        return task_class(self._tasks)

    def session(self) -> Any:
        """A session of SQLAlchemy on the tables, for programs that query them."""
        return self.database.session()

    def get(self, task_ids: Sequence[str], retry: bool = True) -> list[bytes | None]:
        found: dict[str, bytes] = {}
        for start in range(0, len(task_ids), _AT_ONCE):
            some = task_ids[start : start + _AT_ONCE]
            found |= self.database.call(lambda connection, ids=some: self._read(connection, ids), retry)  # type: ignore[misc]
        return [found.get(task_id) for task_id in task_ids]

    def _read(self, connection: Connection, task_ids: Sequence[str]) -> dict[str, bytes]:
        kept, tasks = self._additions.c, self._tasks
        query = select(tasks, kept.fields.label(OWN)).outerjoin(self._additions, kept.task_id == tasks.c.task_id)
        alive = or_(kept.expires_at.is_(None), kept.expires_at > unix_time(connection))
        rows = connection.execute(query.where(tasks.c.task_id.in_(task_ids), alive)).mappings()
        return {row["task_id"]: self._record(dict(row)) for row in rows}

    def _record(self, row: dict[str, Any]) -> bytes:
        own, payload = row.pop(OWN), self.tables.payload(row)
        return self.tables.columns.with_own_fields(payload, own) if own is not None else payload

    def store(self, stores: Sequence[ResultWrite]) -> None:
        if stores:
            self.database.call(self.writer(stores))

    def writer(self, stores: Sequence[ResultWrite]) -> Callable[[Connection], None]:
        """Writes these records in a transaction of the caller's."""
        # All processes lock rows in the order of their ids; records of one id stay in theirs.
        stores = sorted(stores, key=lambda one: one.task_id)
        prepared = self._prepared(stores)

        def write(connection: Connection) -> None:
            late = of_earlier_attempts(connection, self._state, stores)
            current = [one for one in stores if one not in late] if late else stores
            rows, decisive = self._prepared(current) if late else prepared
            if rows:
                connection.execute(self._upsert(connection), rows)
                self._write_additions(connection, decisive)
                announce(connection, decisive)
            for one in current:
                if one.run_state and self._is_stored(connection, one):
                    write_state(connection, self._state, one.task_id, one.run_state)

        return write

    def _prepared(self, stores: Sequence[ResultWrite]) -> tuple[list[dict[str, Any]], dict[str, _Addition]]:
        """The rows of these records, and for each task the values that are written beside its row."""
        rows = [self.tables.row(one) for one in stores]
        decisive: dict[str, _Addition] = {}
        for one, row in zip(stores, rows, strict=True):
            own = row.pop(OWN)
            if one.success or one.task_id not in decisive or not decisive[one.task_id].success:
                decisive[one.task_id] = _Addition(one.success, one.expires, own)
        return rows, decisive

    def _is_stored(self, connection: Connection, store: ResultWrite) -> bool:
        """Whether a record has been written: a success is not overwritten by anything else."""
        status = select(self._tasks.c.status).where(self._tasks.c.task_id == store.task_id)
        return store.success or connection.execute(status).scalar() != states.SUCCESS

    def _upsert(self, connection: Connection) -> Any:
        status = self._tasks.c.status
        kept = or_(status.is_(None), status != "SUCCESS")
        return upsert(connection, self._tasks, ["task_id"], self.tables.changes, kept)

    def _write_additions(self, connection: Connection, writes: Mapping[str, _Addition]) -> None:
        """Keep the fields that Celery's tables do not have, and the times of expiry that differ from that of most
        records, which the clean-up knows. Those of a success stay, as the success does."""
        usually, kept = self.database.expires(), self._additions
        usual = [one for one, write in writes.items() if write.expires == usually and write.fields is None]
        unusual = writes.keys() - usual
        weak = [one for one in unusual if not writes[one].success]
        successes = select(self._tasks.c.task_id).where(self._tasks.c.status == states.SUCCESS)
        if weak:
            found = connection.execute(successes.where(self._tasks.c.task_id.in_(weak)))
            unusual -= set(found.scalars())
        if usual:
            of_success = and_(kept.c.fields.is_not(None), kept.c.task_id.in_(successes))
            gone = delete(kept).where(kept.c.task_id.in_(usual))
            if any(not writes[one].success for one in usual):
                gone = gone.where(not_(of_success))
            connection.execute(gone)
        if unusual:
            now = read_clock(connection)
            rows = [
                {"task_id": one, "expires_at": now + write.expires if write.expires else None, "fields": write.fields}
                for one, write in sorted((one, writes[one]) for one in unusual)
            ]
            connection.execute(upsert(connection, kept, ["task_id"], ["expires_at", "fields"]), rows)

    def set_lifetimes(self, connection: Connection, task_ids: Sequence[str], seconds: int) -> None:
        """Let the records that exist expire after ``seconds``; 0: never."""
        until = read_clock(connection) + seconds if seconds else None
        for start in range(0, len(task_ids), _AT_ONCE):
            some = task_ids[start : start + _AT_ONCE]
            found = connection.execute(select(self._tasks.c.task_id).where(self._tasks.c.task_id.in_(some))).scalars()
            rows = [{"task_id": task_id, "expires_at": until, "fields": None} for task_id in sorted(found)]
            if rows:
                connection.execute(upsert(connection, self._additions, ["task_id"], ["expires_at"]), rows)

    def forget(self, task_ids: Sequence[str]) -> None:
        for start in range(0, len(task_ids), _AT_ONCE):
            some = sorted(task_ids[start : start + _AT_ONCE])
            self.database.call(lambda connection, ids=some: self.delete(connection, ids))  # type: ignore[misc]

    def delete(self, connection: Connection, task_ids: Sequence[str]) -> None:
        """Delete records in a transaction of the caller's."""
        for table in (self._tasks, self._additions):
            connection.execute(delete(table).where(table.c.task_id.in_(task_ids)))

    @contextmanager
    def watch(self, task_ids: Iterable[str]) -> Iterator[PollingWatch]:
        ids, woken = list(task_ids), threading.Event()
        with self.database.waking(ids, woken.set):
            yield PollingWatch(self.get, ids, woken)

    @asynccontextmanager
    async def awatch(self, task_ids: Iterable[str]) -> AsyncIterator[AsyncPollingWatch]:
        ids, woken, loop = list(task_ids), asyncio.Event(), asyncio.get_running_loop()

        def wake() -> None:
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(woken.set)

        with await asyncio.to_thread(self.database.waking, ids, wake):
            yield AsyncPollingWatch(self.aget, ids, woken)

    def save_group(self, group_id: str, payload: bytes, expires: int | None) -> None:
        self.database.call(lambda connection: self.write_group(connection, group_id, payload))

    def write_group(self, connection: Connection, group_id: str, payload: bytes) -> None:
        """Write a group in a transaction of the caller's."""
        row, key = self.tables.group_row(group_id, payload), self.tables.group_key
        changed = [name for name in row if name not in (key, "date_created")]
        connection.execute(upsert(connection, self._groups, [key], changed), row)

    def get_group(self, group_id: str) -> bytes | None:
        return self.database.call(lambda connection: self.read_group(connection, group_id))

    def read_group(self, connection: Connection, group_id: str) -> bytes | None:
        """Read a group in a transaction of the caller's."""
        query = select(self._groups).where(self._groups.c[self.tables.group_key] == group_id)
        found = connection.execute(query).mappings().first()
        return None if found is None else self.tables.group_payload(dict(found))

    def delete_group(self, group_id: str) -> None:
        gone = delete(self._groups).where(self._groups.c[self.tables.group_key] == group_id)
        self.database.call(lambda connection: connection.execute(gone))

    def cleanup(self, seconds: float) -> int:
        """Delete groups, and records without a time of their own, that are older than ``seconds``; and the records
        whose own time has come. Returns how many."""
        before = self.tables.time(datetime.now(UTC) - timedelta(seconds=seconds))
        tasks, groups, kept = self._tasks, self._groups, self._additions

        def work(connection: Connection) -> int:
            own = select(kept.c.task_id)
            over = own.where(kept.c.expires_at <= unix_time(connection))
            old = and_(tasks.c.date_done < before, tasks.c.task_id.not_in(own))
            found = connection.execute(delete(tasks).where(or_(old, tasks.c.task_id.in_(over)))).rowcount
            connection.execute(delete(kept).where(kept.c.task_id.not_in(select(tasks.c.task_id))))
            return found + connection.execute(delete(groups).where(groups.c.date_done < before)).rowcount

        return self.database.call(work)

    def create_tables(self) -> list[str]:
        return self.database.create_tables()

    def upgrade_tables(self) -> list[str]:
        return self.database.upgrade_tables()

    def close(self) -> None:
        self.database.close()
