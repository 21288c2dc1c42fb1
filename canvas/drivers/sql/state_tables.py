"""The tables that canvas adds to Celery's: chords, workflow runs, and times of expiry."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
)

LAYOUT = 1
"""The version of these tables; a change of them needs another number, and a step in ``layout.py``."""
_NAME = 255
"""Characters of an id."""
_BYTES = LargeBinary(2**32 - 1)


class StateTables:
    """The tables, in the schema that the setting gives to ``celery_taskmeta``. Times are unix times, in seconds."""

    def __init__(self, metadata: MetaData, schema: str | None) -> None:
        def table(name: str, *columns: Column[object] | Index) -> Table:
            return Table(name, metadata, *columns, schema=schema)

        self.layout = table("canvas_layout", Column("version", Integer, primary_key=True, autoincrement=False))
        self.chords = table(
            "canvas_chords",
            Column("group_id", String(_NAME), primary_key=True),
            Column("state", String(10), nullable=False),
            Column("size", BigInteger),
            Column("extra", BigInteger, nullable=False),
            Column("counted", BigInteger, nullable=False),
            Column("callback", _BYTES),
            Column("ready_since", Double, index=True),
            Column("lost", Boolean, nullable=False),
            Column("expires_at", Double, index=True),
        )
        self.parts = table(
            "canvas_chord_parts",
            Column("group_id", String(_NAME), primary_key=True),
            Column("member", String(_NAME), primary_key=True),
            Column("position", BigInteger),
            Column("number", BigInteger, nullable=False),
            Column("value", _BYTES, nullable=False),
        )
        self.runs = table(
            "canvas_runs",
            Column("run", String(_NAME), primary_key=True),
            Column("created", Double, index=True),
            Column("expires_at", Double, index=True),
        )
        self.run_fields = table(
            "canvas_run_fields",
            Column("run", String(_NAME), primary_key=True),
            Column("name", String(_NAME), primary_key=True),
            Column("value", _BYTES, nullable=False),
        )
        self.mail = table(
            "canvas_run_mail",
            Column("run", String(_NAME), primary_key=True),
            Column("mailbox", String(_NAME), primary_key=True),
            Column("id", String(_NAME), primary_key=True),
            Column("kind", String(10), nullable=False),
            Column("number", BigInteger, nullable=False),
            Column("value", _BYTES),
            Column("group_id", String(_NAME)),
            Column("callback", _BYTES),
            Column("lives", BigInteger),
        )
        self.lifetimes = table(
            "canvas_record_lifetimes",
            Column("task_id", String(_NAME), primary_key=True),
            Column("expires_at", Double, index=True),
        )
