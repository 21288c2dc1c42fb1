"""``ChordCounter`` of django-celery-results: how many members of a chord have not been counted yet.

Celery's workers store the record of a member, and then decrement its chord's counter in a transaction of their own. Who
decrements it to 0 deletes it, and ends the chord by the records of the members.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Column, Connection, Integer, MetaData, String, Table, Text, bindparam, delete, select, update

from canvas.drivers.sql.celery_tables import StoreTables
from canvas.drivers.sql.dialects import upsert
from canvas.errors import DecodeError
from canvas.model import states
from canvas.model.settlement import ChordStart
from canvas.wire import record as wire

_AT_ONCE = 500
"""Ids in one query."""


class Member(NamedTuple):
    """A task of a header."""

    task_id: str
    position: int


class Counter(NamedTuple):
    """The row of one chord."""

    group_id: str
    results: list[Any]
    """The results of its header, in tuple form."""
    left: int
    """How many members have not been counted."""

    @property
    def members(self) -> list[Member]:
        return [Member(task_id, position) for position, task_id in enumerate(leaf_ids(self.results))]

    @property
    def flat(self) -> bool:
        """Whether no group is in the header."""
        return all(inner is None for _, inner in self.results)


class ChordCounters:
    """The table, which the project's migrations make."""

    def __init__(self, name: str, tables: StoreTables, serializer: str) -> None:
        """``serializer``: that of records and saved groups."""
        self._tables = tables
        self._serializer = serializer
        self._accept = frozenset({serializer})
        self.table = Table(
            name, MetaData(), Column("id", Integer, primary_key=True), Column("group_id", String(255)),
            Column("sub_tasks", Text), Column("count", Integer),
        )  # fmt: skip

    def start(self, connection: Connection, starts: Iterable[ChordStart]) -> None:
        """Make the counters of chords whose headers are known. Those that are there stay: members may be counted."""
        rows = []
        for start in sorted(starts):
            if start.structure is not None:
                structure = wire.decode_group(start.structure, serializer=self._serializer, accept=self._accept)
                rows.append({"group_id": start.group_id, "sub_tasks": json.dumps(structure[1]), "count": start.size})
        if rows:
            connection.execute(upsert(connection, self.table, ["group_id"], []), rows)

    def lock(self, connection: Connection, group_ids: Collection[str]) -> dict[str, Counter]:
        """The counters of those chords that have one, locked in the order of their ids."""
        table, ids = self.table, sorted(group_ids)
        if not ids:
            return {}
        if connection.dialect.name == "sqlite":
            # A transaction that begins to read before it writes may not write at all.
            connection.execute(update(table).where(table.c.group_id.in_(ids)).values(count=table.c.count))
        query = select(table).where(table.c.group_id.in_(ids)).order_by(table.c.group_id).with_for_update()
        rows = connection.execute(query).mappings()
        return {row["group_id"]: Counter(row["group_id"], json.loads(row["sub_tasks"]), row["count"]) for row in rows}

    def save(self, connection: Connection, counters: Sequence[Counter]) -> None:
        """Write rows that are locked."""
        if counters:
            table = self.table
            changed: dict[str, Any] = {"sub_tasks": bindparam("results"), "count": bindparam("left")}
            statement = update(table).where(table.c.group_id == bindparam("key")).values(changed)
            rows = [{"key": one.group_id, "results": json.dumps(one.results), "left": one.left} for one in counters]
            connection.execute(statement, rows)

    def delete(self, connection: Connection, group_ids: Collection[str]) -> None:
        """Delete rows: no worker ends these chords by them any more."""
        if group_ids:
            connection.execute(delete(self.table).where(self.table.c.group_id.in_(group_ids)))

    def group(self, counter: Counter) -> bytes:
        """The saved group of a header."""
        return wire.encode_group([[counter.group_id, None], counter.results], serializer=self._serializer)

    def values(self, connection: Connection, members: Iterable[Member]) -> dict[Member, bytes]:
        """The parts of those of these tasks that have ended, from their records. A record that cannot be read is a
        failure."""
        wanted, found = {one.task_id: one for one in members}, dict[Member, bytes]()
        for task_id, payload in self._payloads(connection, list(wanted)).items():
            status, result = self._read(payload)
            if status in states.READY_STATES:
                found[wanted[task_id]] = wire.encode_part(task_id, status, result, serializer=self._serializer)
        return found

    def ended(self, connection: Connection, task_ids: Collection[str]) -> set[str]:
        """The ids among these whose records are final."""
        tasks = self._tables.tasks
        query = select(tasks.c.task_id).where(tasks.c.status.in_(states.READY_STATES))
        return set(connection.execute(query.where(tasks.c.task_id.in_(task_ids))).scalars()) if task_ids else set()

    def _payloads(self, connection: Connection, task_ids: Sequence[str]) -> Mapping[str, bytes]:
        tasks, found = self._tables.tasks, dict[str, bytes]()
        for first in range(0, len(task_ids), _AT_ONCE):
            query = select(tasks).where(tasks.c.task_id.in_(task_ids[first : first + _AT_ONCE]))
            rows = connection.execute(query).mappings()
            found |= {row["task_id"]: self._tables.payload(dict(row)) for row in rows}
        return found

    def _read(self, payload: bytes) -> tuple[str, Any]:
        try:
            found = wire.decode(payload, serializer=self._serializer, accept=self._accept)
        except DecodeError as exc:
            return states.FAILURE, exc
        return found.status, found.result


def leaf_ids(results: Iterable[Any]) -> list[str]:
    """The ids of the tasks in a header, which is in tuple form."""
    found: list[str] = []
    for (task_id, _), inner in results:
        found += [task_id] if inner is None else leaf_ids(inner)
    return found
