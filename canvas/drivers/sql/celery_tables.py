"""The tables of Celery's database backend."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

from sqlalchemy import Column, DateTime, Integer, MetaData, Sequence, String, Table, Text
from sqlalchemy.dialects.mysql import LONGTEXT

from canvas.drivers.record_columns import RecordColumns
from canvas.drivers.sql.canvas_tables import BYTES, StateTables
from canvas.model.settlement import ResultWrite

UNUSED = "unused"
"""In a column's ``info``: this program does not use it."""
_TEXT = Text().with_variant(LONGTEXT(), "mysql", "mariadb")
"""Text of any size. MySQL's own ``TEXT`` and ``BLOB``, which Celery's tables have there, hold 64 KB."""


class TableSet(Protocol):
    """The tables of a database."""

    cure: str
    """The command that makes missing tables."""
    metadata: MetaData
    """The tables that canvas makes."""
    layout: Table
    """The version of canvas' own tables."""


class StoreTables(TableSet, Protocol):
    """The tables of a store, and the form of its rows."""

    columns: RecordColumns
    """The form of the columns of a record."""
    group_key: str
    """The column of a group's id."""
    tasks: Table
    groups: Table
    state: StateTables

    def row(self, write: ResultWrite) -> dict[str, Any]:
        """The row of a record, and under ``OWN`` its fields that have no columns."""

    def changes(self, insert: Any) -> dict[str, Any]:
        """The new values, by their columns, of a row that is there when ``insert`` is executed."""

    def payload(self, row: Mapping[str, Any]) -> bytes:
        """The record in a row."""

    def group_row(self, group_id: str, payload: bytes) -> dict[str, Any]:
        """The row of a saved group."""

    def group_payload(self, row: Mapping[str, Any]) -> bytes:
        """The saved group in a row."""

    def time(self, moment: datetime) -> datetime:
        """A time in the form of ``date_done``."""


class CeleryTables:
    """``celery_taskmeta`` and ``celery_tasksetmeta``, under the names and in the schemas of the settings; and canvas'
    own tables, in the schema of the first."""

    group_key = "taskset_id"
    cure = "`canvas db upgrade` makes missing tables and columns"

    def __init__(self, columns: RecordColumns, names: Mapping[str, str], schemas: Mapping[str, str]) -> None:
        self.columns = columns
        self.metadata = MetaData()
        task_schema, group_schema = schemas.get("task"), schemas.get("group")
        task_name, extended = names.get("task") or "celery_taskmeta", columns.extended
        self.tasks = _task_table(task_name, self.metadata, task_schema, _extended(unused=not extended))
        if not extended:
            # The table is made with all columns, for programs that use them, and used without: it may be another's.
            self.tasks = _task_table(task_name, MetaData(), task_schema, [])
        self.groups = Table(
            names.get("group") or "celery_tasksetmeta", self.metadata,
            Column("id", Integer, Sequence("taskset_id_sequence", schema=group_schema), primary_key=True),
            Column("taskset_id", String(155), unique=True),
            Column("result", BYTES),
            Column("date_done", DateTime, index=True),
            schema=group_schema,
            sqlite_autoincrement=True,
        )  # fmt: skip
        self.state = StateTables(self.metadata, task_schema)
        self.layout = self.state.layout

    def row(self, write: ResultWrite) -> dict[str, Any]:
        row = self.columns.divided(write)
        if row["date_done"] is not None:
            row["date_done"] = self.time(row["date_done"])
        return {"task_id": write.task_id, **row, "traceback": storable(row["traceback"])}

    def changes(self, insert: Any) -> dict[str, Any]:
        return {
            column.name: insert.excluded[column.name] for column in self.tasks.c if column.name not in ("id", "task_id")
        }

    def payload(self, row: Mapping[str, Any]) -> bytes:
        return self.columns.joined(row)

    def group_row(self, group_id: str, payload: bytes) -> dict[str, Any]:
        now = self.time(datetime.now(UTC))
        return {"taskset_id": group_id, "result": self.columns.group_column(payload), "date_done": now}

    def group_payload(self, row: Mapping[str, Any]) -> bytes:
        return self.columns.group_in(row["result"])

    def time(self, moment: datetime) -> datetime:
        """UTC, without a zone."""
        return moment.astimezone(UTC).replace(tzinfo=None)


def _task_table(name: str, metadata: MetaData, schema: str | None, more: list[Column[Any]]) -> Table:
    return Table(
        name, metadata,
        Column("id", Integer, Sequence("task_id_sequence", schema=schema), primary_key=True),
        Column("task_id", String(155), unique=True),
        Column("status", String(50)),
        Column("result", BYTES),
        Column("date_done", DateTime, index=True),
        Column("traceback", _TEXT),
        Column("children", BYTES),
        *more,
        schema=schema,
        sqlite_autoincrement=True,
    )  # fmt: skip


def _extended(unused: bool) -> list[Column[Any]]:
    """The columns of ``result_extended``. Where they are ``unused``, a table that is there need not have them."""
    info = {UNUSED: unused}
    return [
        Column("name", String(155), info=info), Column("args", BYTES, info=info),
        Column("kwargs", BYTES, info=info), Column("worker", String(155), info=info),
        Column("retries", Integer, info=info), Column("queue", String(155), info=info),
        Column("stamps", BYTES, info=info),
    ]  # fmt: skip


def storable(text: str | None) -> str | None:
    """Text as databases take it: without NUL, and without halves of surrogate pairs."""
    return None if text is None else text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
