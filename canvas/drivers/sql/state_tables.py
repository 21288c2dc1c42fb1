"""The tables that canvas adds to Celery's: chords, workflow runs, and times of expiry."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Double, Integer, LargeBinary, MetaData, String, Table

LAYOUT = 1
"""The version of these tables; a change of them needs another number, and a step in ``layout.py``."""
_NAME = 255
"""Characters of an id."""
_BYTES = LargeBinary(2**32 - 1)


class StateTables:
    """The tables, in the schema that the setting gives to ``celery_taskmeta``. Times are unix times, in seconds."""

    def __init__(self, metadata: MetaData, schema: str | None) -> None:
        def table(name: str, columns: Iterable[Column[Any]]) -> Table:
            return Table(name, metadata, *columns, schema=schema)

        self.layout = table("canvas_layout", [Column("version", Integer, primary_key=True, autoincrement=False)])
        self.chords = table("canvas_chords", _chord())
        self.parts = table("canvas_chord_parts", _part())
        self.runs = table("canvas_runs", [_key("run"), _time("created"), _time("expires_at")])
        self.run_fields = table(
            "canvas_run_fields", [_key("run"), _key("name"), Column("value", _BYTES, nullable=False)]
        )
        self.mail = table("canvas_run_mail", _mail())
        self.lifetimes = table("canvas_record_lifetimes", [_key("task_id"), _time("expires_at")])


def _key(name: str) -> Column[str]:
    return Column(name, String(_NAME), primary_key=True)


def _time(name: str) -> Column[float]:
    return Column(name, Double, index=True)


def _chord() -> list[Column[Any]]:
    return [
        _key("group_id"), Column("state", String(10), nullable=False), Column("size", BigInteger),
        Column("extra", BigInteger, nullable=False), Column("counted", BigInteger, nullable=False),
        Column("callback", _BYTES), _time("ready_since"), Column("lost", Boolean, nullable=False), _time("expires_at"),
    ]  # fmt: skip


def _part() -> list[Column[Any]]:
    return [
        _key("group_id"), _key("member"), Column("position", BigInteger), Column("number", BigInteger, nullable=False),
        Column("value", _BYTES, nullable=False),
    ]  # fmt: skip


def _mail() -> list[Column[Any]]:
    return [
        _key("run"), _key("mailbox"), _key("id"), Column("kind", String(10), nullable=False),
        Column("number", BigInteger, nullable=False), Column("value", _BYTES), Column("group_id", String(_NAME)),
        Column("callback", _BYTES), Column("lives", BigInteger),
    ]  # fmt: skip
