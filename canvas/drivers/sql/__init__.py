"""Results in SQL databases, in the tables of Celery's ``db+…`` backend. Needs the extra ``sql``."""

from collections.abc import Mapping
from typing import Any

from canvas.drivers.ports import StoreParts
from canvas.errors import ConfigurationError


def open_results(url: str, options: Mapping[str, Any]) -> StoreParts:
    """The records in the database of a ``db+…`` or ``sqla+…`` URL. Chords and runs are not kept there.

    ``options``: ``serializer``, ``extended`` and Celery's settings that begin with ``database_``, by their full names.
    Raises ConfigurationError when SQLAlchemy is missing, and for a URL or serializer that is not supported.
    """
    try:
        from canvas.drivers.sql.database import Database
        from canvas.drivers.sql.results import SqlResults
    except ModuleNotFoundError as exc:
        raise ConfigurationError(f"results in SQL need {exc.name}: pip install 'canvas-workflows[sql]'") from exc
    serializer = options.get("serializer", "json")
    if serializer != "json":
        raise ConfigurationError(
            f"results in SQL are written in JSON only: set result_serializer to 'json', not {serializer!r}"
        )
    return StoreParts(SqlResults(Database(url, options)), None, None, frozenset({"results"}))
