"""Results in SQL databases, in the tables of Celery's ``db+…`` backend. Needs the extra ``sql``."""

from collections.abc import Mapping
from typing import Any

from canvas.drivers.ports import StoreParts
from canvas.drivers.ports.capabilities import STORE_OF_ALL
from canvas.errors import ConfigurationError


def open_results(url: str, options: Mapping[str, Any]) -> StoreParts:
    """Records, chords and runs in the database of a ``db+…`` or ``sqla+…`` URL.

    ``options``: ``serializer``, ``extended``, Celery's settings that begin with ``database_``, by their full names, and
    ``expires``, a function that returns ``result_expires``.
    Raises ConfigurationError when SQLAlchemy is missing, and for a URL or serializer that is not supported.
    """
    try:
        from canvas.drivers.record_columns import RecordColumns
        from canvas.drivers.sql.chords import SqlChords
        from canvas.drivers.sql.database import Database
        from canvas.drivers.sql.results import SqlResults
        from canvas.drivers.sql.runs import SqlRuns
    except ModuleNotFoundError as exc:
        raise ConfigurationError(f"results in SQL need {exc.name}: pip install 'canvas-workflows[sql]'") from exc
    database = Database(url, options)
    columns = RecordColumns(options.get("serializer", "json"), bool(options.get("extended")))
    results = SqlResults(database, columns)
    return StoreParts(results, SqlChords(database, results), SqlRuns(database, results), STORE_OF_ALL)
