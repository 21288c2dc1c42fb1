"""Results in SQL databases, in the tables of Celery's ``db+…`` backend. Needs the extra ``sql``."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from canvas.drivers.ports import StoreParts
from canvas.drivers.ports.capabilities import STORE_OF_ALL
from canvas.errors import ConfigurationError
from canvas.text import pip_install

if TYPE_CHECKING:
    from canvas.drivers.ports.message_state import StateParts

DJANGO = "django-db"
"""The result backend that is the database of a Django project, in the tables of django-celery-results."""


def open_results(url: str, options: Mapping[str, Any]) -> StoreParts:
    """Records, chords and runs in the database of a ``db+…`` or ``sqla+…`` URL, or of a Django project.

    ``options``: ``serializer``, ``extended``, Celery's settings that begin with ``database_``, by their full names, and
    ``expires``, a function that returns ``result_expires``.
    Raises ConfigurationError when SQLAlchemy is missing, and for a URL or serializer that is not supported.
    """
    with _needing("results"):
        from canvas.drivers.record_columns import RecordColumns
        from canvas.drivers.sql.celery_tables import CeleryTables, StoreTables
        from canvas.drivers.sql.chords import SqlChords
        from canvas.drivers.sql.database import Database, sqlalchemy_url
        from canvas.drivers.sql.django.chords import DjangoCounting
        from canvas.drivers.sql.results import SqlResults
        from canvas.drivers.sql.runs import SqlRuns
    serializer, extended = options.get("serializer", "json"), bool(options.get("extended"))
    tables: StoreTables
    counters = None
    if url == DJANGO:
        from canvas.drivers.sql.django.counters import ChordCounters
        from canvas.drivers.sql.django.tables import CHORD_COUNTERS, DjangoTables, django_database

        address, connect_args, utc = django_database()
        options = {**options, "database_engine_options": {"connect_args": connect_args}}
        tables = DjangoTables(RecordColumns(serializer, extended=True), utc)
        counters = ChordCounters(CHORD_COUNTERS, tables, serializer)
    else:
        address, columns = sqlalchemy_url(url), RecordColumns(serializer, extended)
        names, schemas = options.get("database_table_names") or {}, options.get("database_table_schemas") or {}
        tables = CeleryTables(columns, names, schemas)
    results = SqlResults(Database(address, tables, options), tables)
    shared = DjangoCounting(results, counters) if counters is not None else None
    return StoreParts(results, SqlChords(results, shared), SqlRuns(results), STORE_OF_ALL)


def open_state(url: str, options: Mapping[str, Any], store: StoreParts | None) -> "StateParts":
    """The state of messages that another broker carries; ``store``: where the results are. Of ``options`` it takes
    Celery's settings that begin with ``database_engine``, and ``database_create_tables_at_setup``. Raises as
    ``open_results``."""
    with _needing("the state of messages"):
        from canvas.drivers.sql.state.opening import opened
    return opened(url, options, store)


@contextmanager
def _needing(what: str) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as exc:
        raise ConfigurationError(f"{what} in SQL need {exc.name}: {pip_install('sql')}") from exc
