"""``app.connection()``: kombu's connection to the broker where kombu is installed; else one of canvas' own.

canvas' own has kombu's names for health checks and lengths of queues.
"""

import sys
import time
from collections.abc import Callable, Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from canvas.app.broker_address import broker_address
from canvas.config.config import Config
from canvas.config.sources import imported
from canvas.drivers.ports import Driver
from canvas.errors import ConfigurationError, OperationalError
from canvas.forks import in_forks
from canvas.masking import masked_url


class ConnectingApp(Protocol):
    """The parts of an app that a connection needs."""

    @property
    def conf(self) -> Config: ...

    @property
    def driver(self) -> Driver: ...


NO_OPTIONS: Mapping[str, Any] = MappingProxyType({})
_OF_KOMBU = ("redis", "rediss", "redis+socket", "sentinel", "amqp", "amqps", "pyamqp")
"""Schemes of brokers that canvas and kombu both know."""
_of_parents: list[Any] = []
"""The connections in kombu's pools of the processes that this one was forked from. As long as they are referenced, no
finalizer closes a connection that a parent uses."""


def of_kombu(name: str) -> Any:
    """An object of kombu, ``module:name``. Raises ImportError where kombu is not installed: canvas then serves some of
    its names itself."""
    found = imported(name)
    if getattr(sys.modules["kombu"], "__file__", None) is None:
        raise ImportError("kombu is not installed")
    return found


def kombu_connection(conf: Config, url: str | None = None, options: Mapping[str, Any] = NO_OPTIONS) -> Any:
    """kombu's connection to the app's broker, or to ``url``; ``None`` without kombu, and for other brokers. ``options``
    of a connection take the place of the settings.

    Raises ConfigurationError for a URL that cannot be divided: kombu's error would show a part of the password.
    """
    address = url or broker_address(conf)
    first = address if isinstance(address, str) else str(address[0])
    if first.partition("://")[0] not in _OF_KOMBU:
        return None
    try:
        connection = of_kombu("kombu:Connection")
    except (ImportError, AttributeError):
        return None
    given = {name: value for name, value in options.items() if value is not None}
    given["transport_options"] = {**conf.broker_transport_options, **given.get("transport_options", {})}
    settings = {"ssl": conf.broker_use_ssl or None, "connect_timeout": conf.broker_connection_timeout}
    try:
        return connection(address, **{**settings, **given})
    except ValueError:
        raise ConfigurationError(
            f"broker URL {masked_url(first)}: expected a port that is a number, and characters with a meaning in URLs "
            "percent-encoded, such as / (%2F), ? (%3F), # (%23), @ (%40) and [ (%5B)"
        ) from None


def connection_of(app: ConnectingApp, url: str | None, options: Mapping[str, Any]) -> Any:
    """A connection of ``app.connection``'s. Raises ConfigurationError."""
    given = {name: value for name, value in options.items() if value is not None}
    address = url or given.pop("hostname", None)
    found = kombu_connection(app.conf, address, given)
    if found is not None:
        return found
    if given:
        raise ConfigurationError(
            f"connection: {', '.join(sorted(given))}: these are options of kombu's connections, and "
            "kombu is not installed or does not know the broker; give them in the URL"
        )
    return Connection(app, address)


def kombu_pool(group: str, connection: Any) -> Any:
    """The pool for a connection in one of kombu's groups of pools: ``connections`` or ``producers``."""
    _empty_pools_in_forks()
    return of_kombu(f"kombu.pools:{group}")[connection]


@cache
def _empty_pools_in_forks() -> None:
    """Empty the pools in each process that is forked from this one. kombu would close the connections there, and read
    from sockets that the parent uses."""
    in_forks(_empty_pools)


def _empty_pools() -> None:
    for name in ("connections", "producers"):
        for pool in of_kombu(f"kombu.pools:{name}").values():
            _of_parents.append((pool._resource, pool._dirty))
            pool._resource, pool._dirty = type(pool._resource)(), set()
            pool.setup()


def connection_pool(app: "ConnectingApp") -> Any:
    """kombu's pool of connections to the app's broker; ``ConnectionPool`` without kombu, and for other brokers."""
    connection = kombu_connection(app.conf)
    if connection is None:
        return ConnectionPool(app)
    return kombu_pool("connections", connection)


class QueueDeclared(NamedTuple):
    """The answer to a declaration."""

    queue: str
    message_count: int
    consumer_count: int


class Channel:
    """A connection's view of its queues."""

    def __init__(self, connection: "Connection") -> None:
        self.connection = connection

    def queue_declare(self, queue: str, passive: bool = False, **options: Any) -> QueueDeclared:
        """The number of messages that wait in ``queue``. A queue without messages has 0, declared before or not.

        Raises OperationalError when the broker does not answer.
        """
        return QueueDeclared(queue, self._size(queue), 0)

    def queue_purge(self, queue: str, **options: Any) -> int:
        """Delete the messages that wait in ``queue``. Returns how many there were."""
        return self.connection.driver.admin.purge(queue)

    def _size(self, queue: str) -> int:
        return self.connection.driver.admin.queue_length(queue)

    def close(self) -> None:
        """Nothing: the connection belongs to the app."""

    def __enter__(self) -> "Channel":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"a channel of canvas has queue_declare and queue_purge; it has no {name!r}: send with "
            "task.apply_async or app.send_task, and see app.control and canvas queues"
        )


class Connection:
    """The broker's connection of an app. All connections of an app share the app's own; to close one is cheap."""

    def __init__(self, app: ConnectingApp, url: str | None = None) -> None:
        """``url``: a broker, by default the app's. Raises ConfigurationError for another broker than the app's."""
        self._app = app
        self._url = broker_address(app.conf)
        if url is not None and url != self._url:
            raise ConfigurationError(
                f"connection: {masked_url(url)} is not the app's broker, {masked_url(self._url)}; "
                "make an app for it: Canvas('other', broker=…, set_as_current=False)"
            )
        self.connected = False

    @property
    def driver(self) -> Driver:
        """The driver that the connection is a view of."""
        return self._app.driver

    @property
    def transport_options(self) -> Mapping[str, Any]:
        """The setting ``broker_transport_options``."""
        options: Mapping[str, Any] = self._app.conf.broker_transport_options
        return options

    def channel(self) -> Channel:
        """A channel."""
        return Channel(self)

    default_channel = property(channel)

    def connect(self) -> "Connection":
        """Ask the broker for an answer. Raises OperationalError when it gives none."""
        self.driver.admin.queue_length(self._app.conf.task_default_queue)
        self.connected = True
        return self

    def ensure_connection(
        self, errback: Callable[[Exception, float], object] | None = None, max_retries: int | None = None,
        interval_start: float = 2, interval_step: float = 2, interval_max: float = 30,
        callback: Callable[[], object] | None = None, reraise_as_library_errors: bool = True,
        timeout: float | None = None,
    ) -> "Connection":  # fmt: skip
        """``connect``, repeated until the broker answers.

        ``max_retries``: attempts after the first, without a limit by default. ``interval_start``, ``interval_step``,
        ``interval_max``: seconds before the next attempt, before which ``errback(exc, seconds)`` is called.
        ``timeout``: seconds in which to begin attempts. Raises the last attempt's OperationalError.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        interval, retries = interval_start, 0
        while True:
            try:
                return self.connect()
            except OperationalError as exc:
                if (max_retries and retries >= max_retries) or (
                    deadline is not None and time.monotonic() + interval > deadline
                ):
                    raise
                if errback is not None:
                    errback(exc, interval)
            if callback is not None:
                callback()
            time.sleep(interval)
            interval, retries = min(interval + interval_step, interval_max), retries + 1

    def as_uri(self, include_password: bool = False, mask: str = "**") -> str:
        """The broker's URL; its password is masked unless ``include_password``."""
        return self._url if include_password else masked_url(self._url)

    def heartbeat_check(self, rate: int = 2) -> None:
        """Nothing: the driver checks whether its connection is alive."""

    def close(self) -> None:
        """End the use of this connection; the app's own stays open."""
        self.connected = False

    release = close

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Connection: {self.as_uri()}>"


class ConnectionPool:
    """``app.pool``: gives connections, any number at a time."""

    limit: int | None = None
    """How many connections it gives at a time; ``None``: any number."""

    def __init__(self, app: ConnectingApp) -> None:
        self._app = app

    def acquire(self, block: bool = False, timeout: float | None = None) -> Connection:
        """A connection, at once."""
        return Connection(self._app)

    def force_close_all(self) -> None:
        """Close the app's connections. The next use opens new ones."""
        self._app.driver.close()
