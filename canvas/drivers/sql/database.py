"""The connections to one database, and what its errors mean."""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, exc
from sqlalchemy.engine import URL, make_url

from canvas.drivers.sql.tables import Tables
from canvas.errors import BrokerError, ConfigurationError, OperationalError, RefusedError
from canvas.forks import in_forks
from canvas.masking import masked_url

T = TypeVar("T")

_DRIVERS = {"postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}
"""The driver of a URL that names none."""
_SERVED = frozenset({"postgresql", "sqlite"})
_PAUSES = (0.05, 0.2, 0.5, 1.0)
"""Seconds before each further try while the database is away."""


class Database:
    """An engine made at its first use, and anew in each forked process; the tables are made with it."""

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        self._shown = masked_url(url)
        self._url = _parsed(url, self._shown)
        self._options = dict(options.get("database_engine_options") or {})
        self._callback = options.get("database_engine_callback")
        self._make_tables = bool(options.get("database_create_tables_at_setup", True))
        self.expires: Callable[[], int | None] = options.get("expires", lambda: None)
        """Returns the seconds for which most records are kept; ``None``: without an end."""
        self.tables = Tables(
            options.get("database_table_names") or {},
            options.get("database_table_schemas") or {},
            bool(options.get("extended")),
        )
        self._reset()
        self._forget = in_forks(self._reset)

    def _reset(self) -> None:
        """Forget the connections, which are the parent's in a forked process."""
        self._engine: Engine | None = None
        self._lock = threading.Lock()

    def call(self, work: Callable[[Connection], T], retry: bool = True) -> T:
        """What ``work`` returns, run in a transaction, and again while the database is away or chose it as the victim
        of a deadlock.

        Raises OperationalError after the last try, RefusedError for values that the database does not take, and
        BrokerError for any other error of the database.
        """
        for pause in (*(_PAUSES if retry else ()), None):
            try:
                with self._ready().begin() as connection:
                    return work(connection)
            except (exc.OperationalError, exc.InterfaceError, exc.InternalError, exc.TimeoutError) as error:
                if pause is None:
                    raise OperationalError(f"result database {self._shown}: {_reason(error)}") from error
                time.sleep(pause)
            except (exc.DataError, exc.IntegrityError, exc.StatementError) as error:
                kind = BrokerError if isinstance(error, exc.ProgrammingError) else RefusedError
                raise kind(f"result database {self._shown}: {_reason(error)}") from error
        raise AssertionError("unreachable")

    def _ready(self) -> Engine:
        with self._lock:
            if self._engine is None:
                engine = create_engine(self._url, **self._options)
                if self._callback is not None:
                    self._callback(engine)
                if self._make_tables:
                    _make(self.tables, engine)
                self._engine = engine
            return self._engine

    def close(self) -> None:
        """Close the connections. Using the database again connects."""
        with self._lock:
            engine, self._engine = self._engine, None
        if engine is not None:
            engine.dispose()


def _make(tables: Tables, engine: Engine) -> None:
    try:
        tables.metadata.create_all(engine)
    except (exc.ProgrammingError, exc.IntegrityError, exc.OperationalError):
        # Another process may have made them at the same time: they are there now.
        tables.metadata.create_all(engine)


def _parsed(url: str, shown: str) -> URL:
    try:
        found = make_url(url.partition("+")[2])
    except (exc.ArgumentError, ValueError) as error:
        raise ConfigurationError(f"result_backend: {shown} is no URL of a database") from error
    if found.drivername in _DRIVERS:
        found = found.set(drivername=_DRIVERS[found.drivername])
    dialect = found.get_backend_name()
    if dialect not in _SERVED:
        served = ", ".join(f"db+{name}://" for name in sorted(_SERVED))
        raise ConfigurationError(f"result_backend: canvas keeps no results in {dialect!r}; expected one of {served}")
    if dialect == "sqlite" and found.database in (None, "", ":memory:"):
        raise ConfigurationError("result_backend: db+sqlite:// needs the path of a file: db+sqlite:////path/results.db")
    return found


def _reason(error: Exception) -> str:
    return str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
