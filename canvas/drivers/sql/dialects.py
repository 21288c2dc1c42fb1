"""The parts of SQL that differ between databases."""

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, cast, func, literal_column, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.types import Double

_UNIX_TIME = {
    "postgresql": func.extract("epoch", func.clock_timestamp()),
    "sqlite": literal_column("(julianday('now') - 2440587.5) * 86400.0"),
}


def unix_time(connection: Connection) -> ColumnElement[float]:
    """The database's clock, unix time in seconds, as an expression."""
    return cast(_UNIX_TIME[connection.dialect.name], Double)


def read_clock(connection: Connection) -> float:
    """The database's clock, unix time in seconds."""
    return float(connection.execute(select(unix_time(connection))).scalar_one())


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
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = insert(table)
    if not changed:
        return statement.on_conflict_do_nothing(index_elements=keys)
    values = changed(statement) if callable(changed) else {name: statement.excluded[name] for name in changed}
    return statement.on_conflict_do_update(index_elements=keys, set_=values, where=where)
