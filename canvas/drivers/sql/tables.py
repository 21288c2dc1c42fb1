"""The tables of Celery's database backend."""

from collections.abc import Mapping
from datetime import UTC, datetime

from sqlalchemy import Column, DateTime, Integer, LargeBinary, MetaData, Sequence, String, Table, Text

from canvas.drivers.sql.state_tables import StateTables

EXTENDED = ("name", "args", "kwargs", "worker", "retries", "queue", "stamps")
"""The columns that ``result_extended`` adds to ``celery_taskmeta``."""


class Tables:
    """``celery_taskmeta`` and ``celery_tasksetmeta``, under the names and in the schemas of the settings; and canvas'
    own tables, in the schema of the first."""

    def __init__(self, names: Mapping[str, str], schemas: Mapping[str, str], extended: bool) -> None:
        self.metadata = MetaData()
        task_schema, group_schema = schemas.get("task"), schemas.get("group")
        self.tasks = Table(
            names.get("task") or "celery_taskmeta", self.metadata,
            Column("id", Integer, Sequence("task_id_sequence", schema=task_schema), primary_key=True),
            Column("task_id", String(155), unique=True),
            Column("status", String(50)),
            Column("result", LargeBinary),
            Column("date_done", DateTime, index=True),
            Column("traceback", Text),
            Column("children", LargeBinary),
            *(_extended() if extended else ()),
            schema=task_schema,
            sqlite_autoincrement=True,
        )  # fmt: skip
        self.groups = Table(
            names.get("group") or "celery_tasksetmeta", self.metadata,
            Column("id", Integer, Sequence("taskset_id_sequence", schema=group_schema), primary_key=True),
            Column("taskset_id", String(155), unique=True),
            Column("result", LargeBinary),
            Column("date_done", DateTime, index=True),
            schema=group_schema,
            sqlite_autoincrement=True,
        )  # fmt: skip
        self.state = StateTables(self.metadata, task_schema)


def _extended() -> list[Column[str] | Column[bytes] | Column[int]]:
    return [
        Column("name", String(155)), Column("args", LargeBinary), Column("kwargs", LargeBinary),
        Column("worker", String(155)), Column("retries", Integer), Column("queue", String(155)),
        Column("stamps", LargeBinary),
    ]  # fmt: skip


def utc_now() -> datetime:
    """The time as the tables hold it: UTC, without a zone."""
    return datetime.now(UTC).replace(tzinfo=None)
