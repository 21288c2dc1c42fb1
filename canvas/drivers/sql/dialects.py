"""The parts of SQL that differ between databases."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Engine,
    Table,
    case,
    cast,
    event,
    exc,
    func,
    literal_column,
    select,
    type_coerce,
)
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.engine import URL
from sqlalchemy.sql import visitors
from sqlalchemy.types import Double

MYSQL = frozenset({"mysql", "mariadb"})
_LIBPQ = ("psycopg", "psycopg2")
_OF_CONNECTIONS: dict[str, int | str] = {
    "client_encoding": "utf8",
    "connect_timeout": 10,
    "tcp_user_timeout": 30_000,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
}
"""Options of PostgreSQL's client library. The encoding: psycopg gives the text of a database with the encoding
SQL_ASCII as bytes otherwise. And bounds on the waits for a server whose machine or network is gone, in seconds and
milliseconds: the library has none, so that a worker would wait as long as the system keeps the connection, up to
hours."""

_IDLE_FOR = 30
"""Seconds. A transaction of canvas' takes milliseconds."""
_IDLE_LIMITS = {
    "postgresql": f"SELECT set_config('idle_in_transaction_session_timeout', '{_IDLE_FOR}s', false) "
    "WHERE current_setting('idle_in_transaction_session_timeout') = '0'",
    **dict.fromkeys(
        MYSQL, f"SET SESSION idle_transaction_timeout = COALESCE(NULLIF(@@idle_transaction_timeout, 0), {_IDLE_FOR})"
    ),
}

_STRICT = "SET SESSION sql_mode = CONCAT_WS(',', NULLIF(@@SESSION.sql_mode, ''), 'STRICT_TRANS_TABLES')"
_OF_PACKETS = (1153, 2006, 2013, 2055)
"""MySQL's error numbers for a packet that is too large, and for a connection that is lost."""
_ESCAPED = (b"\0", b"\n", b"\r", b"\x1a", b'"', b"'", b"\\")
"""Written as two bytes in a statement."""

_UNIX_TIME = {
    "postgresql": func.extract("epoch", func.clock_timestamp()),
    "sqlite": literal_column("(julianday('now') - 2440587.5) * 86400.0"),
    **dict.fromkeys(MYSQL, literal_column("CAST(UNIX_TIMESTAMP(NOW(6)) AS DECIMAL(20, 6))")),
}


def connect_arguments(url: URL, given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of the driver's ``connect`` for a database: ``given``, and options that neither they nor the URL
    set."""
    if url.get_backend_name() != "postgresql" or url.get_driver_name() not in _LIBPQ:
        return dict(given)
    return {**{name: value for name, value in _OF_CONNECTIONS.items() if name not in url.query}, **given}


def prepare_connections(engine: Engine) -> None:
    """Have the server end the transaction of a client that has sent nothing for some time, where the client has not set
    another limit: a process that is stopped in a transaction would keep its locks, for which all others wait. And have
    MySQL refuse values that are too large for their column, which it cuts off in other modes than the strict one."""
    dialect = engine.dialect.name

    def prepare(connection: Any, record: object) -> None:
        statements = []
        if dialect in MYSQL:
            statements.append(_STRICT)
        # MySQL itself has no limit of idle transactions.
        if engine.driver in _LIBPQ or (
            engine.driver == "pymysql" and "mariadb" in connection.get_server_info().lower()
        ):
            statements.append(_IDLE_LIMITS[dialect])
        cursor = connection.cursor()
        for statement in statements:
            cursor.execute(statement)
        cursor.close()
        connection.commit()

    if dialect in _IDLE_LIMITS:
        event.listen(engine, "connect", prepare)


def beyond_packet(engine: Engine, error: exc.SQLAlchemyError) -> str:
    """The text of the error, where a statement is larger than MySQL takes from a client; otherwise an empty text. MySQL
    closes the connection then, as if it were stopped."""
    lost = isinstance(error, exc.DBAPIError) and getattr(error.orig, "args", (0,))[0] in _OF_PACKETS
    if not lost or engine.dialect.name not in MYSQL:
        return ""
    size = _written_size(error.params)  # type: ignore[attr-defined]
    try:
        with engine.connect() as connection:
            most = int(connection.exec_driver_sql("SELECT @@max_allowed_packet").scalar_one())
    except exc.SQLAlchemyError:
        return ""  # it is stopped
    return f"a statement of {size} bytes is larger than max_allowed_packet, {most}" if size > most else ""


def _written_size(value: Any) -> int:
    """The bytes of the parameters of a statement, as they are written in it."""
    if isinstance(value, Mapping):
        return sum(map(_written_size, value.values()))
    if isinstance(value, list | tuple):
        return sum(map(_written_size, value))
    if not isinstance(value, bytes | str):
        return 0
    written = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
    return len(written) + sum(map(written.count, _ESCAPED))


def unix_time(connection: Connection) -> ColumnElement[float]:
    """The database's clock, unix time in seconds, as an expression."""
    now = _UNIX_TIME[connection.dialect.name]
    # Not all servers of MySQL's kind can cast to a double.
    return type_coerce(now, Double) if connection.dialect.name in MYSQL else cast(now, Double)


def read_clock(connection: Connection) -> float:
    """The database's clock, unix time in seconds."""
    return float(connection.execute(select(unix_time(connection))).scalar_one())


def lock_database(connection: Connection) -> None:
    """Let no other transaction write until this one has ended, on a database without locks of rows."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def upsert(
    connection: Connection,
    table: Table,
    keys: Sequence[str],
    changed: Sequence[str] | Callable[[Any], dict[str, Any]],
    where: Any = None,
) -> Any:
    """An INSERT that changes the row that is there, if ``where`` holds for it.

    ``changed`` are the columns that get the new values, or a function of the statement that returns the values by their
    columns; without any, that row stays as it is.
    """
    if connection.dialect.name in MYSQL:
        return _mysql_upsert(table, keys, changed, where)
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = insert(table)
    if not changed:
        return statement.on_conflict_do_nothing(index_elements=keys)
    values = changed(statement) if callable(changed) else {name: statement.excluded[name] for name in changed}
    return statement.on_conflict_do_update(index_elements=keys, set_=values, where=where)


class _Inserted:
    """The new values, by the name that other databases have for them."""

    def __init__(self, inserted: Any) -> None:
        self.excluded = inserted


def _mysql_upsert(table: Table, keys: Sequence[str], changed: Any, where: Any) -> Any:
    """Like ``upsert``. There is no condition here: each column gets its new value or keeps its own. Columns are changed
    one after the other, so those that the condition reads are the last."""
    statement = mysql.insert(table)
    if not changed:
        return statement.on_duplicate_key_update({keys[0]: table.c[keys[0]]})
    new = statement.inserted
    values = changed(_Inserted(new)) if callable(changed) else {name: new[name] for name in changed}
    if where is not None:
        read = {found.name for found in visitors.iterate(where) if isinstance(found, Column)}
        ordered = sorted(values, key=lambda name: name in read)
        values = {name: case((where, values[name]), else_=table.c[name]) for name in ordered}
    return statement.on_duplicate_key_update(list(values.items()))
