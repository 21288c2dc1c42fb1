"""Values in Memcached: ``cache+memcached://host:port;host:port/``. Needs the extra ``memcached``.

Keys are spread over several servers as Celery's client spreads them. A server that is unreachable keeps its keys:
Celery's client moves them to another server, where a chord's count would begin again.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from pymemcache.client.base import Client, PooledClient, normalize_server_spec
from pymemcache.client.rendezvous import RendezvousHash
from pymemcache.exceptions import (
    MemcacheClientError,
    MemcacheError,
    MemcacheServerError,
    MemcacheUnexpectedCloseError,
)

from canvas.drivers.retry_policy import tried
from canvas.drivers.silence import reported
from canvas.errors import OperationalError, RefusedError
from canvas.forks import in_forks
from canvas.interruptions import raise_interruption

T = TypeVar("T")

_LONGEST_RELATIVE = 30 * 86_400
"""Seconds; Memcached reads a larger number as a unix time."""
_LONGEST_KEY = 250
_PAUSES = (0.05, 0.2, 0.5, 1.0)
"""Seconds before each further try while a server is unreachable."""
_DEFAULTS = {"connect_timeout": 5.0, "timeout": 5.0, "no_delay": True}
_NOT_OURS = ("behaviors", "binary", "default_noreply", "retry_attempts", "retry_delay", "retry_for", "do_not_retry_for",
             "use_pooling", "hasher", "serde", "serializer", "deserializer", "ignore_exc", "max_pool_size",
             "pool_idle_timeout", "lock_generator")  # fmt: skip
"""Options of ``cache_backend_options`` for other clients, or for things that canvas does in its own way."""
_CAS_TRIES = 1_000
_TOO_LARGE = b"object too large"


class _Server:
    """The connections to one server, each for one call at a time.

    pymemcache's own pool counts a connection as used forever once Ctrl-C has broken its call off.
    """

    def __init__(self, address: Any, options: Mapping[str, Any]) -> None:
        self._address = address
        self._options = options
        self._idle: deque[Client] = deque()

    def call(self, work: Callable[[Client], T]) -> T:
        """The result of ``work`` with a connection, which is closed if it is broken off."""
        try:
            client = self._idle.pop()
        except IndexError:
            client = Client(self._address, default_noreply=False, **self._options)
        ended = False
        try:
            result = work(client)
            ended = True
        finally:
            if ended:
                self._idle.append(client)
            else:
                client.close()
        return result

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()


class Memcached:
    """The KeyValues of one or more servers."""

    deletes_expired = True

    def __init__(self, servers: Sequence[str], options: Mapping[str, Any]) -> None:
        """``options``: Celery's ``cache_backend_options``."""
        specs = [normalize_server_spec(one) for one in servers]
        self._servers = {one if isinstance(one, str) else f"{one[0]}:{one[1]}": one for one in specs}
        """By the names that Celery's client spreads keys by."""
        self._options = {**_DEFAULTS, **{key: value for key, value in options.items() if key not in _NOT_OURS}}
        self._reset()
        in_forks(self._reset)

    def _reset(self) -> None:
        """Drop the connections: in a forked process they belong to the parent."""
        self._open = {name: _Server(address, self._options) for name, address in self._servers.items()}
        self._library: PooledClient | None = None
        self._hash = RendezvousHash()
        for server in self._servers:
            self._hash.add_node(server)

    def _of(self, key: str) -> _Server:
        return self._open[self._hash.get_node(key) if len(self._open) > 1 else next(iter(self._open))]

    def get(self, keys: Sequence[str], retry: bool = True) -> Mapping[str, bytes]:
        found: dict[str, bytes] = {}
        for server, some in self._by_server(filter(_is_key, keys)):
            found |= self._tried(server, lambda client, some=some: client.get_many(some), retry)  # type: ignore[misc]
        return found

    def _by_server(self, keys: Iterable[str]) -> list[tuple[_Server, list[str]]]:
        found: dict[_Server, list[str]] = {}
        for key in keys:
            found.setdefault(self._of(key), []).append(key)
        return list(found.items())

    def set(self, key: str, value: bytes, seconds: int | None) -> None:
        self._tried(self._of(key), lambda client: client.set(key, value, _expiry(seconds)), size=len(value))

    def set_all(self, values: Mapping[str, bytes], seconds: int | None) -> None:
        """Set several values."""
        for server, keys in self._by_server(values):
            some = {key: values[key] for key in keys}
            self._tried(
                server,
                lambda client, some=some: client.set_many(some, _expiry(seconds)),  # type: ignore[misc]
                size=max(map(len, some.values())),
            )

    def add(self, key: str, value: bytes, seconds: int | None) -> bool:
        """Set a value unless there is one. Returns whether it was set."""
        added = self._tried(self._of(key), lambda client: client.add(key, value, _expiry(seconds)), size=len(value))
        return bool(added)

    def change(self, key: str, change: Callable[[bytes | None], bytes | None], seconds: int | None) -> bool:
        value = change(None)
        if value is not None and self.add(key, value, seconds):
            return True
        for _ in range(_CAS_TRIES):
            known, token = self._tried(self._of(key), lambda client: client.gets(key))
            value = change(known)
            if value is None:
                return False
            if known is None:
                done = self.add(key, value, seconds)
            else:
                done = self._tried(
                    self._of(key),
                    lambda client, value=value, token=token: client.cas(key, value, token, _expiry(seconds)),  # type: ignore[misc]
                    size=len(value),
                )
            if done:
                return True
        raise OperationalError(f"Memcached {self.shown}: {key} is changed by others all the time")

    def count(self, key: str, number: int) -> int | None:
        """Add to a counter. Returns its new value, ``None`` where there is none. A lost reply may add twice."""
        found: int | None = self._tried(self._of(key), lambda client: client.incr(key, number))
        return found

    def touch(self, key: str, seconds: int | None) -> None:
        """Keep a value for ``seconds`` from now."""
        self._tried(self._of(key), lambda client: client.touch(key, _expiry(seconds)))

    def delete(self, keys: Iterable[str]) -> None:
        for server, some in self._by_server(filter(_is_key, keys)):
            self._tried(server, lambda client, some=some: client.delete_many(some))  # type: ignore[misc]

    def cleanup(self, prefixes: Sequence[str], seconds: float) -> int:
        return 0

    @property
    def client(self) -> Any:
        """pymemcache's client, for programs that use it directly; of several servers, that of the first."""
        if self._library is None:
            address = next(iter(self._servers.values()))
            self._library = PooledClient(address, default_noreply=False, **self._options)
        return self._library

    @property
    def shown(self) -> str:
        """The servers, for messages."""
        return ";".join(self._servers)

    def _tried(self, server: _Server, work: Callable[[Client], T], retry: bool = True, size: int = 0) -> T:
        def attempt() -> T:
            try:
                with reported(f"Memcached {self.shown}"):
                    return server.call(work)
            except MemcacheClientError as exc:
                raise RefusedError(f"Memcached {self.shown}: {exc}") from exc
            except (OSError, MemcacheError) as exc:
                raise_interruption(exc)
                if _is_too_large(exc):
                    raise RefusedError(
                        f"Memcached {self.shown}: a value of {size} bytes is larger than its items may be: start "
                        "memcached with a larger -I, or keep results elsewhere"
                    ) from exc
                raise OperationalError(f"Memcached {self.shown}: {exc or type(exc).__name__}") from exc

        return tried(attempt, _PAUSES if retry else ())

    def close(self) -> None:
        for server in self._open.values():
            server.close()
        if self._library is not None:
            self._library.close()


def _is_too_large(exc: BaseException) -> bool:
    server = isinstance(exc, MemcacheServerError) and not isinstance(exc, MemcacheUnexpectedCloseError)
    return server and bool(exc.args) and _TOO_LARGE in _bytes(exc.args[0])


def _bytes(text: Any) -> bytes:
    return text if isinstance(text, bytes) else str(text).encode()


def _is_key(key: str) -> bool:
    """Whether Memcached takes the key: nothing can be kept under others."""
    return len(key) <= _LONGEST_KEY and key.isascii() and key.isprintable() and " " not in key


def _expiry(seconds: int | None) -> int:
    if not seconds:
        return 0
    return seconds if seconds <= _LONGEST_RELATIVE else int(time.time()) + seconds
