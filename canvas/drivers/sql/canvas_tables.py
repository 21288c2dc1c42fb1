"""The tables that canvas adds to Celery's: chords, workflow runs, and times of expiry."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Double, Index, Integer, LargeBinary, MetaData, String, Table

LAYOUT = 2
"""The version of these tables; a change of them needs another number, and a step in ``layout.py``."""
_NAME = 255
"""Characters of an id."""
_LABEL = 256
"""Characters of a label's value."""
BYTES = LargeBinary(2**32 - 1)
OF_MYSQL: dict[str, Any] = {"mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin", "mysql_engine": "InnoDB"}
"""Ids that differ in case are different ids."""


class StateTables:
    """The tables, in the schema that the setting gives to ``celery_taskmeta``. Times are unix times, in seconds."""

    def __init__(self, metadata: MetaData, schema: str | None) -> None:
        def table(name: str, columns: Iterable[Column[Any] | Index]) -> Table:
            return Table(name, metadata, *columns, schema=schema, **OF_MYSQL)

        self.layout = layout_table(metadata, schema)
        self.chords = table("canvas_chords", _chord())
        self.parts = table("canvas_chord_parts", _part())
        self.runs = table("canvas_runs", _run())
        self.run_labels = table("canvas_run_labels", _label())
        self.run_keys = table("canvas_run_keys", [key("name"), key("run_key"), _run_id()])
        self.run_fields = table("canvas_run_fields", [key("run"), key("name"), Column("value", BYTES, nullable=False)])
        self.mail = table("canvas_run_mail", _mail())
        self.of_runs = (self.run_fields, self.mail, self.run_labels, self.run_keys)
        """The tables whose rows go with their run."""
        self.additions = table(
            "canvas_record_lifetimes", [key("task_id"), moment("expires_at"), Column("fields", BYTES, nullable=True)]
        )
        """Of records: unusual times of expiry, and the fields that Celery's tables do not have."""


def layout_table(metadata: MetaData, schema: str | None) -> Table:
    """The table of the version of the others."""
    version = Column("version", Integer, primary_key=True, autoincrement=False)
    return Table("canvas_layout", metadata, version, schema=schema, **OF_MYSQL)


def key(name: str) -> Column[str]:
    return Column(name, String(_NAME), primary_key=True)


def moment(name: str, index: bool = True) -> Column[float]:
    return Column(name, Double, index=index)


def _run_id() -> Column[str]:
    return Column("run", String(_NAME), nullable=False, index=True)


def _run() -> list[Column[Any] | Index]:
    """``state`` and ``name`` are those under which the index lists the run; ``created`` is unset in a run that is not
    listed."""
    return [
        key("run"), moment("created"), moment("expires_at"), Column("name", String(_NAME)), Column("state", String(20)),
        Index("canvas_runs_by_state", "state", "created"), Index("canvas_runs_by_name", "name", "state", "created"),
    ]  # fmt: skip


def _label() -> list[Column[Any] | Index]:
    return [
        key("run"), key("label"), Column("value", String(_LABEL), nullable=False),
        Index("canvas_run_labels_by_value", "label", "value", "run"),
    ]  # fmt: skip


def _chord() -> list[Column[Any]]:
    return [
        key("group_id"), Column("state", String(10), nullable=False), Column("size", BigInteger),
        Column("extra", BigInteger, nullable=False), Column("counted", BigInteger, nullable=False),
        Column("callback", BYTES), moment("ready_since"), Column("lost", Boolean, nullable=False), moment("expires_at"),
    ]  # fmt: skip


def _part() -> list[Column[Any]]:
    return [
        key("group_id"), key("member"), Column("position", BigInteger), Column("number", BigInteger, nullable=False),
        Column("value", BYTES, nullable=False),
    ]  # fmt: skip


def _mail() -> list[Column[Any]]:
    return [
        key("run"), key("mailbox"), key("id"), Column("kind", String(10), nullable=False),
        Column("number", BigInteger, nullable=False), Column("value", BYTES), Column("group_id", String(_NAME)),
        Column("callback", BYTES), Column("lives", BigInteger),
    ]  # fmt: skip
