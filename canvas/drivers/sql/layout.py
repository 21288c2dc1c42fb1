"""Makes the tables, and brings those of an earlier version up to date."""

from sqlalchemy import Connection, Engine, Table, exc, inspect, select, text

from canvas.drivers.retry_policy import tried
from canvas.drivers.sql.canvas_tables import LAYOUT
from canvas.drivers.sql.celery_tables import UNUSED, TableSet
from canvas.drivers.sql.dialects import MYSQL, upsert
from canvas.errors import ConfigurationError

_OWN = "canvas_"
"""The names of canvas' tables start with it."""
_SMALL = ("BLOB", "TEXT")
"""MySQL's types for 64 KB."""
_AGAIN = (0.0,)
"""Seconds before the second try to add columns: another process may have added them at the same time."""


def create(engine: Engine, tables: TableSet) -> list[str]:
    """Make the tables that are missing. Returns their names. Raises ConfigurationError where a later version of canvas
    made them."""
    made: list[str] = []
    missing = _missing(engine, tables)
    # Several processes may make the tables at the same time: the late one looks again which are missing.
    for left in reversed(range(len(missing) + 1)):
        try:
            tables.metadata.create_all(engine)
        except (exc.ProgrammingError, exc.IntegrityError, exc.OperationalError):
            if not left:
                raise
        else:
            made = missing
            break
    with engine.begin() as connection:
        older = _is_older(connection, tables)
    return made + _renewed(engine, tables) if older else made


def _renewed(engine: Engine, tables: TableSet) -> list[str]:
    """Add the columns that tables of an earlier layout have not. Returns their names."""
    own = [table for table in tables.metadata.sorted_tables if table.name.startswith(_OWN)]

    def add() -> list[str]:
        with engine.begin() as connection:
            made = [name for table in own for name in _add_columns(connection, table)]
            connection.execute(upsert(connection, tables.layout, ["version"], []), {"version": LAYOUT})
            return made

    return tried(add, _AGAIN, exc.DatabaseError)


def _is_older(connection: Connection, tables: TableSet) -> bool:
    """Whether an earlier version of canvas made the tables. Raises ConfigurationError where a later one did."""
    layout = tables.layout
    found = connection.execute(select(layout.c.version)).scalars().all()
    if not found:
        connection.execute(upsert(connection, layout, ["version"], []), {"version": LAYOUT})
    elif max(found) > LAYOUT:
        raise ConfigurationError(
            f"the tables canvas_… have layout {max(found)}, which a later version of canvas made; this version knows "
            f"layout {LAYOUT}: install the later version"
        )
    return bool(found) and max(found) < LAYOUT


def upgrade(engine: Engine, tables: TableSet) -> list[str]:
    """Make missing tables, and missing columns of Celery's tables (``result_extended`` and later versions of Celery add
    some); on MySQL, let columns hold more than 64 KB. Returns the names of new tables and of new and changed columns.
    """
    made = create(engine, tables)
    with engine.begin() as connection:
        for table in tables.metadata.sorted_tables:
            made += _add_columns(connection, table)
            if connection.dialect.name in MYSQL:
                made += _widen_columns(connection, table)
    return made


def _missing(engine: Engine, tables: TableSet) -> list[str]:
    found = inspect(engine)
    return [
        table.fullname
        for table in tables.metadata.sorted_tables
        if not found.has_table(table.name, schema=table.schema)
    ]


def _add_columns(connection: Connection, table: Table) -> list[str]:
    """Add the columns that a table has not and this program uses. Returns their names."""
    there = {column["name"] for column in inspect(connection).get_columns(table.name, schema=table.schema)}
    quote = connection.dialect.identifier_preparer
    added = []
    for column in table.columns:
        if column.name not in there and not column.info.get(UNUSED):
            kind = column.type.compile(connection.dialect)
            connection.execute(
                text(f"ALTER TABLE {quote.format_table(table)} ADD COLUMN {quote.format_column(column)} {kind}")
            )
            added.append(f"{table.fullname}.{column.name}")
    return added


def _widen_columns(connection: Connection, table: Table) -> list[str]:
    """Let the columns of a table in MySQL hold values of any size, where Celery made them for 64 KB. Returns their
    names."""
    found = inspect(connection).get_columns(table.name, schema=table.schema)
    small = {column["name"] for column in found if column["type"].__visit_name__ in _SMALL}
    quote = connection.dialect.identifier_preparer
    widened = [column for column in table.columns if column.name in small]
    for column in widened:
        kind = column.type.compile(connection.dialect)
        connection.execute(text(f"ALTER TABLE {quote.format_table(table)} MODIFY {quote.format_column(column)} {kind}"))
    return [f"{table.fullname}.{column.name}" for column in widened]
