"""The history of a dashboard: ended tasks and figures, in tables of its own."""

import json
from typing import Any

from sqlalchemy import (
    Column,
    Engine,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    delete,
    event,
    func,
    select,
)  # fmt: skip
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

from canvas.errors import ConfigurationError, OperationalError
from canvas.masking import masked_url

_METADATA = MetaData()
_TASKS = Table(
    "canvas_dashboard_tasks", _METADATA,
    Column("id", String(255), primary_key=True), Column("name", Text), Column("state", String(50)),
    Column("worker", Text), Column("at", Float, nullable=False), Column("fields", Text, nullable=False),
    Index("canvas_dashboard_tasks_at", "at"),
)  # fmt: skip
_SLOTS = Table(
    "canvas_dashboard_slots", _METADATA,
    Column("number", Integer, primary_key=True, autoincrement=False), Column("content", Text, nullable=False),
)  # fmt: skip
_SECONDS_OF_SLOT = 5
_BYTES_OF_INDEXES = 130
"""Bytes of a task's entries in PostgreSQL's indexes, and of its row's head."""
TaskRow = tuple[str, str | None, str, str | None, float, str]


class SQLHistory:
    """History in SQLite or PostgreSQL."""

    def __init__(self, url: str) -> None:
        """``url``: as SQLAlchemy takes it. Raises ConfigurationError for another database."""
        self._url = url.removeprefix("db+").replace("postgresql://", "postgresql+psycopg://", 1)
        if self._url.partition(":")[0].partition("+")[0] not in ("sqlite", "postgresql"):
            raise ConfigurationError(
                f"store: expected a sqlite:/// or postgresql:// URL; got {masked_url(url)!r}"
            )  # fmt: skip
        self._engine: Engine = create_engine(self._url, pool_pre_ping=True)
        if self._engine.dialect.name == "sqlite":
            event.listen(self._engine, "connect", _write_ahead)
        self._insert: Any = sqlite.insert if self._engine.dialect.name == "sqlite" else postgresql.insert

    def open(self) -> None:
        """Make the tables that are missing. Raises OperationalError."""
        self._do(_METADATA.create_all)

    def add_tasks(self, tasks: list[TaskRow]) -> None:
        """Write tasks: id, name, state, worker, unix time of the last event, and all fields as JSON. One that is there
        is replaced."""
        latest = {row[0]: row for row in tasks}
        names = [column.name for column in _TASKS.columns]
        rows = [dict(zip(names, row, strict=True)) for row in latest.values()]
        self._put(_TASKS, "id", rows)

    def add_slots(self, slots: list[tuple[int, str]]) -> None:
        """Write figures: the number of each slot, and its content as JSON. Those that are there are replaced."""
        self._put(_SLOTS, "number", [{"number": number, "content": content} for number, content in slots])

    def _put(self, table: Table, key: str, rows: list[dict[str, Any]]) -> None:
        if not rows:
            return
        statement = self._insert(table)
        others = {name: statement.excluded[name] for name in rows[0] if name != key}
        statement = statement.on_conflict_do_update(index_elements=[key], set_=others)
        self._do(lambda connection: connection.execute(statement, rows))

    def tasks(self, query: dict[str, Any], limit: int) -> list[tuple[str, str]]:
        """The ids and the fields of tasks, the latest first. ``query``: name, states, worker, queue, text, since, and
        until; those that are None are not asked for."""
        statement = select(_TASKS.c.id, _TASKS.c.fields).order_by(_TASKS.c.at.desc()).limit(limit)
        for column in ("name", "worker"):
            if query.get(column) is not None:
                statement = statement.where(_TASKS.c[column] == query[column])
        if query.get("states"):
            statement = statement.where(_TASKS.c.state.in_(query["states"]))
        if query.get("since") is not None:
            statement = statement.where(_TASKS.c.at >= query["since"])
        if query.get("until") is not None:
            statement = statement.where(_TASKS.c.at < query["until"])
        if query.get("queue") is not None:
            statement = statement.where(_is_of_queue(query["queue"]))
        if query.get("text"):
            text = query["text"]
            found = func.lower(_TASKS.c.fields).contains(text, autoescape=True)
            statement = statement.where(found | func.lower(_TASKS.c.id).contains(text, autoescape=True))
        return [(row.id, row.fields) for row in self._do(lambda connection: connection.execute(statement).all())]

    def task(self, task_id: str) -> str | None:
        """The fields of a task."""
        statement = select(_TASKS.c.fields).where(_TASKS.c.id == task_id)
        found: str | None = self._do(lambda connection: connection.execute(statement).scalar())
        return found

    def slots(self, after: int) -> list[tuple[int, str]]:
        """The figures of the slots after that number, in order."""
        statement = select(_SLOTS.c.number, _SLOTS.c.content).where(_SLOTS.c.number > after).order_by(_SLOTS.c.number)
        return [(row.number, row.content) for row in self._do(lambda connection: connection.execute(statement).all())]

    def clean(self, oldest: float, tasks: int, size: int | None) -> None:
        """Delete rows that are older than a unix time, tasks beyond a number of them, and the oldest ones until all
        take at most ``size`` bytes. Raises OperationalError."""
        last = select(_TASKS.c.at).order_by(_TASKS.c.at.desc()).offset(tasks).limit(1)

        def delete_old(connection: Any) -> None:
            beyond = connection.execute(last).scalar()
            limit = oldest if beyond is None else max(oldest, beyond)
            connection.execute(delete(_TASKS).where(_TASKS.c.at <= limit))
            connection.execute(delete(_SLOTS).where(_SLOTS.c.number < int(oldest // _SECONDS_OF_SLOT)))
            if size is not None:
                self._shrink(connection, size)

        self._do(delete_old)
        if self._engine.dialect.name == "sqlite":
            # A statement frees one page each time that it is stepped; a script is stepped to its end.
            self._do(lambda connection: connection.connection.executescript("PRAGMA incremental_vacuum"))

    def _shrink(self, connection: Any, size: int) -> None:
        """Delete the oldest tasks if all take more than ``size`` bytes; a tenth of them is then free for new ones."""
        while (used := self._used(connection)) > size:
            rows = connection.execute(select(func.count()).select_from(_TASKS)).scalar()
            if not rows:
                return
            last = select(_TASKS.c.at).order_by(_TASKS.c.at.desc()).offset(int(rows * 0.9 * size / used)).limit(1)
            connection.execute(delete(_TASKS).where(_TASKS.c.at <= connection.execute(last).scalar()))

    def _used(self, connection: Any) -> int:
        """The bytes that tasks take, without space that the database keeps for later ones."""
        if self._engine.dialect.name == "sqlite":
            pages, free, bytes_of_page = (
                connection.exec_driver_sql(f"PRAGMA {name}").scalar()
                for name in ("page_count", "freelist_count", "page_size")
            )
            return int((pages - free) * bytes_of_page)
        # The table's own size would count deleted rows until the next vacuum, and space for new ones after it.
        rows = f"SELECT coalesce(sum(pg_column_size(t.*) + {_BYTES_OF_INDEXES}), 0) FROM {_TASKS.name} t"
        return int(connection.exec_driver_sql(rows).scalar())

    def close(self) -> None:
        self._engine.dispose()

    def _do(self, call: Any) -> Any:
        try:
            with self._engine.begin() as connection:
                return call(connection)
        except SQLAlchemyError as exc:
            raise OperationalError(f"{masked_url(self._url)}: {str(exc).partition(chr(10))[0]}") from exc


def _is_of_queue(queue: str) -> Any:
    """The condition for tasks of a queue: the fields name it, or a routing key alone."""

    def has(text: str) -> Any:
        return _TASKS.c.fields.contains(text, autoescape=True)

    named = json.dumps(queue)
    return has(f'"queue": {named}') | (has(f'"routing_key": {named}') & ~has('"queue": '))


def _write_ahead(connection: Any, _record: Any) -> None:
    """Let readers go on while a process writes."""
    cursor = connection.cursor()
    # Of a new database only: the file shrinks when rows are deleted.
    cursor.execute("PRAGMA auto_vacuum=INCREMENTAL")
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()
