"""The parts of redis-py that canvas uses: connections of event loops, over TLS, and by sentinels. Nothing but this file
and redis_py_connections.py imports it.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import redis
import redis.asyncio
import redis.cluster
import redis.connection
import redis.exceptions
from redis.asyncio.retry import Retry as AsyncRetry
from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.backoff import ExponentialWithJitterBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from canvas.drivers.redis.connection.pauses import FIRST_PAUSE, LONGEST_PAUSE, TRIES
from canvas.drivers.redis.connection.redis_py_connections import (
    PlainLoopConnection,
    PlainMasterConnection,
    PlainMasterLoopConnection,
    SecuredConnection,
    SecuredLoopConnection,
    SecuredMasterConnection,
    SecuredMasterLoopConnection,
)
from canvas.drivers.redis.connection.resp import (
    ANSWER_WITHIN,
    CONNECT_WITHIN,
    CONNECTIONS,
    NOTHING,
    Command,
    Connection,
    NoScript,
    NotServed,
    Refusal,
    Unready,
    error_of,
    packed,
)
from canvas.drivers.redis.connection.sockets import socket_of
from canvas.drivers.redis.url import Address
from canvas.errors import OperationalError

_SOCKET_URL = "socket://"

UNAVAILABLE: tuple[Any, ...] = (
    redis.exceptions.ConnectionError,
    redis.exceptions.TimeoutError,
    redis.exceptions.BusyLoadingError,
    redis.exceptions.ReadOnlyError,
    redis.exceptions.OutOfMemoryError,
    redis.exceptions.MasterDownError,
    OSError,
)
"""redis-py's errors of a server that is unreachable."""
_OF_CLUSTERS: dict[type[Exception], str] = {
    redis.exceptions.MovedError: "MOVED",
    redis.exceptions.AskError: "ASK",
    redis.exceptions.TryAgainError: "TRYAGAIN",
    redis.exceptions.ClusterDownError: "CLUSTERDOWN",
    redis.exceptions.ClusterCrossSlotError: "CROSSSLOT",
}
"""redis-py's errors of a cluster's node, and the code that each has lost."""
_LOOP_CONNECTIONS = 64
"""An event loop may have many more calls under way; calls beyond this number wait for a free connection."""


class RedisUnreachable(OperationalError, redis.exceptions.ConnectionError):
    """Redis could not be reached. It is also redis-py's own error, which programs catch around Celery's calls."""


class RedisSilent(OperationalError, redis.exceptions.TimeoutError):
    """Redis did not answer in time."""


@contextmanager
def translated() -> Iterator[None]:
    """redis-py's errors as those that canvas' own connections raise."""
    try:
        yield
    except redis.exceptions.NoScriptError as exc:
        raise NoScript(str(exc)) from None
    except redis.exceptions.MasterDownError as exc:
        # To redis-py it is the error of a cluster.
        raise Unready(str(exc)) from None
    except tuple(_OF_CLUSTERS) as exc:
        raise NotServed(f"{_OF_CLUSTERS[type(exc)]} {exc}") from None
    except redis.exceptions.AuthenticationError as exc:
        # redis-py takes it for a lost connection, but trying again does not help.
        raise Refusal(str(exc)) from None
    except redis.exceptions.TimeoutError as exc:
        raise TimeoutError(str(exc)) from None
    except UNAVAILABLE as exc:
        raise (exc if isinstance(exc, OSError) else Unready(str(exc))) from None
    except redis.exceptions.RedisError as exc:
        raise error_of(str(exc)) from None


class LibraryConnection:
    """A connection of redis-py's."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self.used_at = time.monotonic()
        with translated():
            self._connection = pool.get_connection()

    def send(self, commands: Sequence[Command]) -> None:
        """Send commands without waiting for their replies."""
        data = packed(commands)
        with translated():
            self._connection.send_packed_command([data])

    def receive(self) -> Any:
        """The next reply."""
        with translated():
            reply = self._connection.read_response()
        self.used_at = time.monotonic()
        return reply

    def receive_within(self, seconds: float) -> Any:
        """The next reply; ``NOTHING`` when no part of it came in that time."""
        with translated():
            if not self._connection.can_read(timeout=seconds):
                return NOTHING
        return self.receive()

    def fileno(self) -> int:
        """The socket's number, for a selector."""
        return socket_of(self._connection).fileno()  # type: ignore[no-any-return]

    def close(self) -> None:
        """Close it."""
        self._connection.disconnect()
        self._pool.release(self._connection)

    def close_inherited(self) -> None:
        """In a forked process: close its copy of the parent's socket, without a word to the server."""
        found = socket_of(self._connection)
        if found is not None:
            found.close()


def client(address: Address) -> Any:
    """A client that repeats no command."""
    arguments = {**_arguments(address), "retry": Retry(_backoff(), 0, supported_errors=UNAVAILABLE)}
    if address.sentinels:
        arguments["connection_class"] = SecuredMasterConnection if address.ssl else PlainMasterConnection
        sentinel: Any = Sentinel(list(address.sentinels), **_sentinel_arguments(address))  # type: ignore[no-untyped-call]
        return sentinel.master_for(address.master, **arguments)
    made = redis.Redis(**arguments)
    if address.ssl:
        made.connection_pool.connection_class = SecuredConnection
    return made


def cluster_client(addresses: Sequence[Address]) -> Any:
    """A client of a cluster, which is found at any of these addresses."""
    arguments = {key: value for key, value in _arguments(addresses[0]).items() if key not in ("host", "port", "db")}
    node: Any = redis.cluster.ClusterNode
    return redis.RedisCluster(startup_nodes=[node(one.host, one.port) for one in addresses], **arguments)


def connections_to(address: Address) -> Callable[[], Connection]:
    """Opens connections to an address."""
    made = client(address)  # which closes its pool's connections when it is deleted
    return lambda: LibraryConnection(made.connection_pool)


def loop_client(address: Address, retry: bool) -> Any:
    """A client for one event loop; without ``retry`` it repeats no command."""
    tries = TRIES if retry else 0
    arguments = {**_arguments(address), "retry": AsyncRetry(_backoff(), tries, supported_errors=UNAVAILABLE)}
    if address.sentinels:
        arguments["connection_class"] = SecuredMasterLoopConnection if address.ssl else PlainMasterLoopConnection
        sentinel: Any = AsyncSentinel(list(address.sentinels), **_sentinel_arguments(address))  # type: ignore[no-untyped-call]
        return sentinel.master_for(address.master, **arguments)
    client = redis.asyncio.Redis(**arguments)
    pool = client.connection_pool
    connection_class = pool.connection_class
    if not address.path:
        connection_class = SecuredLoopConnection if address.ssl else PlainLoopConnection
    client.connection_pool = redis.asyncio.BlockingConnectionPool(
        max_connections=min(_LOOP_CONNECTIONS, arguments["max_connections"]),
        timeout=ANSWER_WITHIN,
        connection_class=connection_class,
        **pool.connection_kwargs,
    )
    return client


def _backoff() -> ExponentialWithJitterBackoff:
    return ExponentialWithJitterBackoff(cap=LONGEST_PAUSE, base=FIRST_PAUSE)


def _arguments(address: Address) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "db": address.db,
        "username": address.user,
        "password": address.password,
        "socket_timeout": ANSWER_WITHIN,
        "socket_connect_timeout": CONNECT_WITHIN,
        "socket_keepalive": True,
        "health_check_interval": 30,
        "decode_responses": False,
        "protocol": 2,
        "max_connections": CONNECTIONS,
        **address.options,
    }
    if address.path:
        arguments["unix_socket_path"] = address.path
        arguments.pop("socket_keepalive")
    elif not address.sentinels:
        arguments.update(host=address.host, port=address.port)
    if address.ssl:
        arguments["ssl"] = True
    return arguments


def _sentinel_arguments(address: Address) -> dict[str, Any]:
    """How to reach the sentinels; with ``sentinel_kwargs`` alone, as kombu does."""
    options = dict(address.sentinel_options)
    others = options.pop("min_other_sentinels", 0)
    timeouts = {"socket_timeout": 2.0, "socket_connect_timeout": 2.0}
    return {"min_other_sentinels": others, "sentinel_kwargs": {**timeouts, **options}}


def parameters_of_url(url: str, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """A server's URL as arguments of redis-py's connections, for plug-ins that open their own.

    ``defaults``: the arguments that the URL does not give. Its database is 0 by default. ``socket://`` is the path of
    a socket. Raises ValueError for another scheme than that, ``redis://``, ``rediss://`` and ``unix://``.
    """
    parse: Callable[[str], dict[str, Any]] = redis.connection.parse_url
    given = parse(f"unix://{url.removeprefix(_SOCKET_URL)}" if url.startswith(_SOCKET_URL) else url)
    found = {**defaults, "db": 0, **given}
    if "virtual_host" in found:
        found["db"] = found.pop("virtual_host")
    found["db"] = int(str(found["db"]).strip("/") or 0)
    if "path" in found:
        for name in ("host", "port", "socket_connect_timeout"):
            found.pop(name, None)
    return found
