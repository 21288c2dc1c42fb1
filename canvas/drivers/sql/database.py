"""The connections to one database, and the meaning of its errors."""

import re
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, exc, select
from sqlalchemy.engine import URL, make_url

from canvas.drivers.absence import Absence
from canvas.drivers.ports.results import TablesMissing
from canvas.drivers.retry_policy import tried
from canvas.drivers.silence import reported
from canvas.drivers.sql.celery_tables import TableSet
from canvas.drivers.sql.connections.announcements import Listener, announces
from canvas.drivers.sql.connections.pool import KeptConnections, in_transaction, interruption
from canvas.drivers.sql.dialects import MYSQL, beyond_packet, connect_arguments, lock_database, prepare_connections
from canvas.drivers.sql.layout import create, upgrade
from canvas.errors import BrokerError, ConfigurationError, OperationalError, RefusedError
from canvas.forks import in_forks
from canvas.interruptions import raise_interruption
from canvas.masking import masked_url

T = TypeVar("T")

_DRIVERS = {"postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg", "mysql": "mysql+pymysql",
            "mariadb": "mariadb+pymysql"}  # fmt: skip
"""The driver of a URL that names none."""
_SERVED = frozenset({"postgresql", "sqlite", *MYSQL})
_NOT_DEFINED = ("42P01", "42703")
"""SQLSTATE of a table, and of a column, that is not there."""
_NOT_DEFINED_IN_MYSQL = (1146, 1054)
"""MySQL's error numbers for the same."""
_MADE_SMALL = re.compile("Data too long for column '(result|traceback|children|args|kwargs|stamps)'")
"""MySQL's error about a column that holds values of any size where canvas has made it."""
_NOT_WRITTEN = re.compile("cannot adapt type|Error binding parameter|type '.*' is not supported")
"""The errors of drivers about a type of values that they do not write. About others they raise Python's exceptions."""
_NOT_LET_IN = (
    "password authentication failed", "no password supplied", "no pg_hba.conf entry", "does not exist",
    "Access denied for user", "Unknown database",
)  # fmt: skip
"""In the errors of PostgreSQL and MySQL to clients that they do not let in. Their drivers give no code for them."""
_PAUSES = (0.05, 0.2, 0.5, 1.0)
"""Seconds before each further try while the database is unreachable."""


class Database:
    """An engine made at its first use, and again in each forked process; the tables are made with it."""

    def __init__(self, url: URL, tables: TableSet, options: Mapping[str, Any]) -> None:
        """``options``: as ``open_results`` takes them."""
        self._shown = masked_url(url.render_as_string(hide_password=True))
        self.url = url
        self._options = dict(options.get("database_engine_options") or {})
        self._callback = options.get("database_engine_callback")
        self._make_tables = bool(options.get("database_create_tables_at_setup", True))
        self.expires: Callable[[], int | None] = options.get("expires", lambda: None)
        """Returns the seconds for which most records are kept; ``None``: without an end."""
        self.tables = tables
        self._reset()
        in_forks(self._reset)

    def _reset(self) -> None:
        """Drop the connections: in a forked process they belong to the parent."""
        self.absence = Absence()
        self._engine: Engine | None = None
        self._lock = threading.Lock()
        self._listener = Listener(self._ready)

    def waking(self, task_ids: Iterable[str], wake: Callable[[], None]) -> AbstractContextManager[None]:
        """Call ``wake``, on another thread, when a record of one of these ids is announced. A database without
        announcements calls it never."""
        if not announces(self.url):
            return nullcontext()
        return self._listener.waking(task_ids, wake)

    def call(self, work: Callable[[Connection], T], retry: bool = True) -> T:
        """Run ``work`` in a transaction, and return its result. It is run again while the database is unreachable, or
        chose it as the victim of a deadlock.

        Raises OperationalError after the last try, RefusedError for values that the database does not take, and
        BrokerError for any other error of the database.
        """
        return self._tried(lambda: in_transaction(self._ready(), work), retry)

    def change(self, work: Callable[[Connection], T], retry: bool = True) -> T:
        """Like ``call``, for a transaction that reads before it writes."""

        def locked(connection: Connection) -> T:
            lock_database(connection)
            return work(connection)

        return self.call(locked, retry)

    def check(self) -> None:
        """Return when the database answers. Raises RefusedError when it does not admit this client, and as ``call``."""
        try:
            self.call(lambda connection: connection.execute(select(1)), retry=False)
        except OperationalError as error:
            if any(text in str(error) for text in _NOT_LET_IN):
                raise RefusedError(f"{error}; correct the user, the password or the name in the URL") from error
            raise

    def session(self) -> Any:
        """A session of SQLAlchemy on this database, whose errors are SQLAlchemy's own."""
        from sqlalchemy.orm import Session  # imported late: canvas itself needs no mapped classes

        return Session(self._ready())

    def with_engine(self, work: Callable[[Engine], T]) -> T:
        """The result of ``work`` with an engine whose tables may be missing. Tries and raises as ``call``."""
        return self._tried(lambda: work(self._connecting()), True)

    def _tried(self, call: Callable[[], T], retry: bool) -> T:
        failures, before = 0, sys.exc_info()[1]

        def attempt() -> T:
            nonlocal failures
            try:
                with reported(f"database {self._shown}"):
                    return call()
            except exc.SQLAlchemyError as error:
                raise_interruption(error)
                broken_off_by = interruption(error, before)
                if broken_off_by is not None:
                    raise broken_off_by from None
                if _NOT_WRITTEN.search(str(error.orig if isinstance(error, exc.DBAPIError) else error)):
                    raise RefusedError(f"database {self._shown}: {_reason(error)}") from error
                if not _passes(error):
                    raise self._described(error) from error
                if (engine := self._engine) is not None and (what := beyond_packet(engine, error)):
                    raise RefusedError(f"database {self._shown}: {what}") from error
                if failures or getattr(error, "connection_invalidated", False):
                    self.absence.note()
                failures += 1
                raise OperationalError(f"database {self._shown}: {_reason(error)}") from error
            except (TypeError, OverflowError, UnicodeError) as error:
                raise_interruption(error)
                raise RefusedError(f"database {self._shown}: {type(error).__name__}: {error}") from error

        return tried(attempt, _PAUSES if retry else ())

    def _described(self, error: exc.SQLAlchemyError) -> BrokerError:
        """The error of a request that fails however often it is made."""
        what = f"database {self._shown}: {_reason(error)}"
        if _lacks_tables(error):
            return TablesMissing(f"{what}; {self.tables.cure}")
        if _MADE_SMALL.search(what):
            what += "; `canvas db upgrade` lets the columns that Celery made hold more than 64 KB"
        refused = isinstance(error, exc.StatementError) and not isinstance(error, exc.ProgrammingError)
        return RefusedError(what) if refused else BrokerError(what)

    def _connecting(self) -> Engine:
        own: dict[str, Any] = {}
        if "poolclass" not in self._options:
            # Every transaction has ended when its connection is returned.
            own = {"poolclass": KeptConnections, "pool_reset_on_return": None}
        if self.url.get_backend_name() in MYSQL:
            # A transaction that has waited for a lock has to see the changes of the one before it.
            own["isolation_level"] = "READ COMMITTED"
        connect_args = connect_arguments(self.url, self._options.get("connect_args") or {})
        engine = _engine(self.url, {**own, **self._options, "connect_args": connect_args})
        prepare_connections(engine)
        if self._callback is not None:
            self._callback(engine)
        return engine

    def _ready(self) -> Engine:
        with self._lock:
            if self._engine is None:
                engine = self._connecting()
                if self._make_tables:
                    create(engine, self.tables)
                self._engine = engine
            return self._engine

    def create_tables(self) -> list[str]:
        """See ``TableStore``."""
        return self.with_engine(lambda engine: create(engine, self.tables))

    def upgrade_tables(self) -> list[str]:
        """See ``TableStore``."""
        return self.with_engine(lambda engine: upgrade(engine, self.tables))

    def close(self) -> None:
        """Close the connections. Using the database again connects."""
        self._listener.close()
        with self._lock:
            engine, self._engine = self._engine, None
        if engine is not None:
            engine.dispose()


def sqlalchemy_url(url: str) -> URL:
    """The database of a ``db+…`` URL. Raises ConfigurationError."""
    shown = masked_url(url)
    try:
        found = make_url(url.partition("+")[2])
    except (exc.ArgumentError, ValueError) as error:
        raise ConfigurationError(f"result_backend: {shown} is not the URL of a database") from error
    if found.drivername in _DRIVERS:
        found = found.set(drivername=_DRIVERS[found.drivername])
    dialect = found.get_backend_name()
    if dialect not in _SERVED:
        served = ", ".join(f"db+{name}://" for name in sorted(_SERVED))
        raise ConfigurationError(f"result_backend: canvas keeps no results in {dialect!r}; expected one of {served}")
    if dialect == "sqlite" and found.database in (None, "", ":memory:"):
        raise ConfigurationError("result_backend: db+sqlite:// needs the path of a file: db+sqlite:////path/results.db")
    return found


def _engine(url: URL, options: Mapping[str, Any]) -> Engine:
    """The engine of a database. Raises ConfigurationError where the driver of its URL cannot be used."""
    default = url.set(drivername=url.get_backend_name()).render_as_string(hide_password=True)
    cure = f"leave it out of the URL: {masked_url(f'db+{default}')}"
    try:
        engine = create_engine(url, **options)
    except (ImportError, exc.NoSuchModuleError) as error:
        what = f"{error}: install the driver {url.get_driver_name()!r}, or {cure}"
    else:
        if not engine.dialect.is_async:
            return engine
        what = f"{url.get_driver_name()!r} is a driver for event loops; {cure}"
    raise ConfigurationError(f"result_backend {masked_url(url.render_as_string(hide_password=True))}: {what}")


def _passes(error: exc.SQLAlchemyError) -> bool:
    """Whether the same request may succeed later: the database is unreachable, locked or full, or there was a
    deadlock."""
    temporary = (exc.OperationalError, exc.InterfaceError, exc.InternalError, exc.TimeoutError)
    return isinstance(error, temporary) and not _lacks_tables(error)


def _lacks_tables(error: exc.SQLAlchemyError) -> bool:
    """Whether a table or column is missing. SQLite has no code for it."""
    original = getattr(error, "orig", None)
    if getattr(original, "sqlstate", None) in _NOT_DEFINED:
        return True
    if (getattr(original, "args", None) or [None])[0] in _NOT_DEFINED_IN_MYSQL:
        return True
    return any(text in str(original) for text in ("no such table", "no such column", "has no column named"))


def _reason(error: Exception) -> str:
    return str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
