"""The tables of django-celery-results, in the database of a Django project: ``django-db``.

Rows are those that the package's own backend writes: text in place of bytes, and the ``repr`` of arguments. The
database is that of Django's settings. canvas has its own connections to it, outside of Django's
transactions.
"""

import base64
import binascii
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import Column, DateTime, Integer, MetaData, String, Table, Text, func
from sqlalchemy.engine import URL

from canvas.drivers.record_columns import OWN, WHOLE, RecordColumns
from canvas.drivers.sql.canvas_tables import StateTables
from canvas.drivers.sql.celery_tables import storable
from canvas.errors import ConfigurationError, DecodeError
from canvas.model.settlement import ResultWrite

_APP = "django_celery_results"
CHORD_COUNTERS = f"{_APP}_chordcounter"
"""The table of the model ChordCounter."""
_DRIVERS = {
    "postgresql": "postgresql+psycopg",
    "postgis": "postgresql+psycopg",
    "sqlite3": "sqlite",
    "spatialite": "sqlite",
}
"""By the last part of Django's ENGINE."""
_DJANGOS_OWN = frozenset(
    {"pool", "assume_role", "isolation_level", "server_side_binding", "transaction_mode", "init_command"}
)
"""OPTIONS of Django that its databases do not know."""
_ABOUT = {"task_args": "argsrepr", "task_kwargs": "kwargsrepr", "periodic_task_name": "periodic_task_name"}
"""Columns, and the field of a task's request that each shows."""


class DjangoDatabase(NamedTuple):
    """The database that the project keeps its results in."""

    url: URL
    connect_args: dict[str, Any]
    utc: bool
    """Whether times are stored in UTC (``USE_TZ``), else in the local time zone."""


def django_database() -> DjangoDatabase:
    """The database of the model TaskResult. Raises ConfigurationError where it is not served."""
    from django import setup
    from django.apps import apps
    from django.conf import settings
    from django.core.exceptions import AppRegistryNotReady, ImproperlyConfigured
    from django.db import connections, router

    try:
        if not apps.loading and not apps.apps_ready:
            setup()  # a command of canvas runs no code of Django's before it
        if not apps.is_installed(_APP):
            raise ConfigurationError(
                f"result_backend 'django-db': add {_APP!r} to INSTALLED_APPS, and run `manage.py migrate {_APP}`"
            )
        alias = router.db_for_write(apps.get_model(_APP, "TaskResult"))
    except (AppRegistryNotReady, ImproperlyConfigured) as exc:
        raise ConfigurationError(
            f"result_backend 'django-db': call django.setup() before results are used: {exc}"
        ) from exc
    found = connections[alias].settings_dict
    return DjangoDatabase(_url_of(found), _connect_args(found), bool(settings.USE_TZ))


def _url_of(found: Mapping[str, Any]) -> URL:
    engine, name = str(found["ENGINE"]).rpartition(".")[2], str(found["NAME"])
    driver = _DRIVERS.get(engine)
    if driver is None:
        raise ConfigurationError(
            f"result_backend 'django-db': canvas keeps no results in {found['ENGINE']}; expected PostgreSQL or SQLite"
        )
    if driver == "sqlite" and (":memory:" in name or "mode=memory" in name):
        raise ConfigurationError(
            "result_backend 'django-db': SQLite's database in memory has one connection: set NAME to the path of a file"
        )
    port = int(found["PORT"]) if found.get("PORT") else None
    return URL.create(
        driver, found.get("USER") or None, found.get("PASSWORD") or None, found.get("HOST") or None, port, name
    )


def _connect_args(found: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in (found.get("OPTIONS") or {}).items() if key not in _DJANGOS_OWN}


class DjangoTables:
    """``TaskResult`` and ``GroupResult``, which the project's migrations make; and canvas' own tables."""

    group_key = "group_id"
    cure = f"`manage.py migrate {_APP}` makes its tables, and `canvas db upgrade` those of canvas"

    def __init__(self, columns: RecordColumns, utc: bool) -> None:
        self.columns = columns
        self._content = {"content_type": columns.content_type, "content_encoding": columns.content_encoding}
        self._utc = utc
        theirs = MetaData()
        self.tasks = Table(f"{_APP}_taskresult", theirs, *_task_columns())
        self.groups = Table(f"{_APP}_groupresult", theirs, *_group_columns())
        self.metadata = MetaData()
        self.state = StateTables(self.metadata, None)
        self.layout = self.state.layout

    def row(self, write: ResultWrite) -> dict[str, Any]:
        divided = self.columns.divided(write)
        now = self.time(datetime.now(UTC))
        row: dict[str, Any] = {
            "task_id": write.task_id, "status": divided["status"], "traceback": storable(divided["traceback"]),
            "date_created": now, "date_started": now if divided["status"] == "STARTED" else None, "date_done": now,
            "task_name": divided.get("name"), "worker": divided.get("worker"), **self._content, OWN: divided[OWN],
        }  # fmt: skip
        if divided["result"] is not None and divided["result"].startswith(WHOLE):
            row["content_encoding"] = "binary"
        row["result"] = self._text(divided["result"], row["content_encoding"])
        row["meta"] = self._text(
            self.columns.assembled([("children", {}, {"children": divided["children"] or self.columns.written([])})]),
            row["content_encoding"],
        )
        shown = write.about or {}
        row |= {column: shown.get(name) for column, name in _ABOUT.items()}
        for column in ("task_args", "task_kwargs"):
            if row[column] is not None:
                row[column] = self._text(self.columns.written(row[column]), row["content_encoding"])
        return row

    def changes(self, insert: Any) -> dict[str, Any]:
        """The new values of a row that is there: it keeps the times at which it was made, and its task started."""
        kept = ("id", "task_id", "date_created", "date_started")
        changed = {column.name: insert.excluded[column.name] for column in self.tasks.c if column.name not in kept}
        return changed | {"date_started": func.coalesce(insert.excluded.date_started, self.tasks.c.date_started)}

    def payload(self, row: Mapping[str, Any]) -> bytes:
        encoding = row["content_encoding"]
        try:
            meta = self.columns.split(_bytes(row["meta"], encoding) or b"") or {}
        except DecodeError:
            meta = {}
        shared = {name: row[name] for name in ("task_id", "status", "traceback", "worker")}
        done = row["date_done"].replace(tzinfo=self._zone()) if row["date_done"].tzinfo is None else row["date_done"]
        return self.columns.joined({
            **shared, "result": _bytes(row["result"], encoding), "children": meta.get("children"), "date_done": done,
            "name": row["task_name"], "args": _bytes(row["task_args"], encoding),
            "kwargs": _bytes(row["task_kwargs"], encoding), "retries": None, "queue": None, "stamps": None,
        })  # fmt: skip

    def group_row(self, group_id: str, payload: bytes) -> dict[str, Any]:
        now = self.time(datetime.now(UTC))
        result = self._text(self.columns.group_column(payload), self.columns.content_encoding)
        return {"group_id": group_id, "date_created": now, "date_done": now, "result": result, **self._content}

    def group_payload(self, row: Mapping[str, Any]) -> bytes:
        return self.columns.group_in(_bytes(row["result"], row["content_encoding"]) or b"")

    def time(self, moment: datetime) -> datetime:
        """A time as the tables hold it. PostgreSQL takes the zone; SQLite has none."""
        return moment.astimezone(self._zone())

    def _zone(self) -> Any:
        return UTC if self._utc else datetime.now().astimezone().tzinfo

    def _text(self, written: bytes | None, encoding: str) -> str | None:
        if written is None:
            return None
        return (
            base64.b64encode(written).decode() if encoding == "binary" else storable(written.decode("utf-8", "replace"))
        )


def _bytes(text: str | None, encoding: str) -> bytes | None:
    """The value in a column of text. Text that is not in its encoding is left as it is: its reader reports it."""
    if not text:
        return None
    try:
        return base64.b64decode(text, validate=True) if encoding == "binary" else text.encode("utf-8", "replace")
    except binascii.Error:
        return text.encode("utf-8", "replace")


def _task_columns() -> list[Column[Any]]:
    return [
        Column("id", Integer, primary_key=True), Column("task_id", String(255)), Column("status", String(50)),
        Column("result", Text), Column("traceback", Text), Column("meta", Text), Column("task_name", String(255)),
        Column("task_args", Text), Column("task_kwargs", Text), Column("worker", String(100)),
        Column("periodic_task_name", String(255)), Column("date_started", DateTime(timezone=True)), *_shared_columns(),
    ]  # fmt: skip


def _group_columns() -> list[Column[Any]]:
    return [
        Column("id", Integer, primary_key=True), Column("group_id", String(255)), Column("result", Text),
        *_shared_columns(),
    ]  # fmt: skip


def _shared_columns() -> list[Column[Any]]:
    return [
        Column("content_type", String(128)), Column("content_encoding", String(64)),
        Column("date_created", DateTime(timezone=True)), Column("date_done", DateTime(timezone=True)),
    ]  # fmt: skip
