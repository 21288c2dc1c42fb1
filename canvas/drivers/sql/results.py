"""Records and groups in Celery's tables."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, delete, or_, select
from sqlalchemy.dialects import postgresql, sqlite

from canvas.drivers.sql.database import Database
from canvas.drivers.sql.polling import AsyncPollingWatch, PollingWatch
from canvas.drivers.sql.rows import payload_of, row_of
from canvas.drivers.sql.tables import utc_now
from canvas.model.settlement import ResultWrite

_AT_ONCE = 500
"""Ids in one query."""


class SqlResults:
    """The ResultStore of ``canvas.drivers.ports``. Its records do not expire: ``cleanup`` deletes old ones."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._tasks = database.tables.tasks
        self._groups = database.tables.groups

    def get(self, task_ids: Sequence[str], retry: bool = True) -> list[bytes | None]:
        found: dict[str, bytes] = {}
        for start in range(0, len(task_ids), _AT_ONCE):
            some = task_ids[start : start + _AT_ONCE]
            query = select(self._tasks).where(self._tasks.c.task_id.in_(some))
            rows = self._database.call(lambda c, q=query: c.execute(q).mappings().all(), retry)  # type: ignore[misc]
            found.update((row["task_id"], payload_of(row)) for row in rows)
        return [found.get(task_id) for task_id in task_ids]

    async def aget(self, task_ids: Sequence[str]) -> list[bytes | None]:
        return await asyncio.to_thread(self.get, task_ids)

    def read_prefix(self, task_ids: Sequence[str], size: int) -> list[bytes]:
        return [(payload or b"")[:size] for payload in self.get(task_ids, retry=False)]

    async def aread_prefix(self, task_ids: Sequence[str], size: int) -> list[bytes]:
        return await asyncio.to_thread(self.read_prefix, task_ids, size)

    def store(self, stores: Sequence[ResultWrite]) -> None:
        if not stores:
            return
        # All processes lock rows in the order of their ids; records of one id stay in theirs.
        rows = [row_of(one, self._database.extended) for one in sorted(stores, key=lambda one: one.task_id)]
        self._database.call(lambda connection: connection.execute(self._upsert(connection), rows))

    def _upsert(self, connection: Connection) -> Any:
        made = postgresql if connection.dialect.name == "postgresql" else sqlite
        statement = made.insert(self._tasks)
        names = [column.name for column in self._tasks.c if column.name not in ("id", "task_id")]
        status = self._tasks.c.status
        return statement.on_conflict_do_update(
            index_elements=["task_id"],
            set_={name: statement.excluded[name] for name in names},
            where=or_(status.is_(None), status != "SUCCESS"),
        )

    def forget(self, task_ids: Sequence[str]) -> None:
        for start in range(0, len(task_ids), _AT_ONCE):
            where = self._tasks.c.task_id.in_(task_ids[start : start + _AT_ONCE])
            self._run(delete(self._tasks).where(where))

    @contextmanager
    def watch(self, task_ids: Iterable[str]) -> Iterator[PollingWatch]:
        yield PollingWatch(self.get, task_ids)

    @asynccontextmanager
    async def awatch(self, task_ids: Iterable[str]) -> AsyncIterator[AsyncPollingWatch]:
        yield AsyncPollingWatch(self.aget, task_ids)

    def save_group(self, group_id: str, payload: bytes, expires: int | None) -> None:
        row = {"taskset_id": group_id, "result": _celery_form(payload), "date_done": utc_now()}

        def write(connection: Connection) -> None:
            connection.execute(delete(self._groups).where(self._groups.c.taskset_id == group_id))
            connection.execute(self._groups.insert(), row)

        self._database.call(write)

    def get_group(self, group_id: str) -> bytes | None:
        query = select(self._groups.c.result).where(self._groups.c.taskset_id == group_id)
        found: bytes | None = self._database.call(lambda connection: connection.execute(query).scalar())
        return None if found is None else _own_form(found)

    def delete_group(self, group_id: str) -> None:
        self._run(delete(self._groups).where(self._groups.c.taskset_id == group_id))

    def cleanup(self, seconds: float) -> int:
        """Delete records and groups that are older than so many seconds; how many."""
        before = utc_now() - timedelta(seconds=seconds)
        return sum(self._run(delete(t).where(t.c.date_done < before)) for t in (self._tasks, self._groups))

    def _run(self, statement: Any) -> int:
        return self._database.call(lambda connection: connection.execute(statement).rowcount)

    def close(self) -> None:
        self._database.close()


def _celery_form(payload: bytes) -> bytes:
    """Celery keeps the tuple form alone; ids of ignored tasks, which it does not read, need the object around it."""
    try:
        kept = json.loads(payload)
    except ValueError:
        return payload
    plain = isinstance(kept, dict) and kept.keys() == {"result"} and isinstance(kept["result"], list)
    return json.dumps(kept["result"]).encode() if plain else payload


def _own_form(stored: bytes) -> bytes:
    return b'{"result": ' + stored + b"}" if stored.startswith(b"[") else stored
