"""The connection to one Redis server: this file and ``calls`` alone import redis.

Commands are tried again while the server is away for a moment; after that OperationalError. A call that must not be
repeated blindly (a settlement, a lease) is made with ``once``.
"""

import os
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from hashlib import sha1
from importlib import resources
from typing import Any
from weakref import WeakSet

import redis
import redis.asyncio
import redis.exceptions
from redis.asyncio.retry import Retry as AsyncRetry
from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.retry import Retry
from redis.sentinel import Sentinel

from canvas.drivers.redis.connection.commands import ERRORS, TRIES, UNAVAILABLE, Commands, as_ours, backoff, taken_from
from canvas.drivers.redis.connection.event_loops import LoopClients
from canvas.drivers.redis.connection.pubsub import PubSub
from canvas.drivers.redis.connection.raw_connection import RawConnection
from canvas.drivers.redis.connection.sockets import close_sockets
from canvas.drivers.redis.url import Address
from canvas.forks import in_forks

_ANSWER_WITHIN = 30.0
_BLOCKS_FOR = 5.0
_CONNECTIONS = 10_000
"""More than threads ask for at once; the server has a limit of its own."""
SHARED = ("run_index", "effects")
"""Functions that scripts share."""
_ALONE = frozenset({"publish"})
"""Scripts that run without these functions: Redis takes as long to load it as these scripts take to run."""
_SUBSCRIPTIONS_KEPT = 4
"""Open subscriptions without a user, kept for the next wait."""
_LOOP_CONNECTIONS = 64
"""An event loop may have many more calls under way; calls beyond this number wait for a free connection."""


@cache
def script(name: str) -> tuple[str, str]:
    """A script's text, with the shared functions in front unless it stands alone, and its SHA1."""
    folder = resources.files("canvas.drivers.redis") / "scripts"
    parts = (name,) if name in _ALONE else (*SHARED, name)
    text = "\n".join((folder / f"{part}.lua").read_text("utf-8") for part in parts)
    return text, sha1(text.encode(), usedforsecurity=False).hexdigest()


class RedisClient:
    """Clients for one address, for threads and for event loops; new ones after a fork."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._pid = 0
        self._lock = threading.Lock()
        self._calls: Any = None
        self._held: Any = None
        self._subscriptions: deque[PubSub] = deque()
        self._loops = LoopClients(self._loop_client)
        self._inherited: list[Any] = []
        _clients_of_process.add(self)

    def disinherit(self) -> None:
        """In a forked process: close its copies of the parent's connections. The next call opens others.

        A copy that stays open would keep the parent's waiting commands alive at the server after the parent has ended.
        """
        self._lock = threading.Lock()
        if not self._pid:
            return
        close_sockets([self._calls.client, self._held, *self._loops.every()])
        # When redis' objects are deleted they use what they share with the parent, such as its selector.
        self._inherited.append((self._calls, self._held, self._loops, self._subscriptions))
        self._calls = self._held = None
        self._loops, self._subscriptions, self._pid = LoopClients(self._loop_client), deque(), 0

    # -- clients

    def _clients(self) -> tuple[Commands, Any]:
        """The client for calls, and the client for connections that are held: subscriptions and blocking commands."""
        if self._pid != os.getpid():
            with self._lock:
                if self._pid != os.getpid():
                    self._calls, self._held = Commands(self._client()), self._client()
                    self._loops, self._subscriptions = LoopClients(self._loop_client), deque()
                    self._pid = os.getpid()
        return self._calls, self._held

    def _arguments(self) -> dict[str, Any]:
        address = self.address
        arguments: dict[str, Any] = {
            "db": address.db,
            "username": address.username,
            "password": address.password,
            "socket_timeout": _ANSWER_WITHIN,
            "socket_connect_timeout": 5.0,
            "socket_keepalive": True,
            "health_check_interval": 30,
            "decode_responses": False,
            "protocol": 2,
            "max_connections": _CONNECTIONS,
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

    def _client(self) -> Any:
        """A client that repeats nothing by itself."""
        arguments = self._arguments()
        arguments["retry"] = Retry(backoff(), 0, supported_errors=UNAVAILABLE)
        if self.address.sentinels:
            sentinel: Any = Sentinel(list(self.address.sentinels), **self._watchers())  # type: ignore[no-untyped-call]
            return sentinel.master_for(self.address.master, **arguments)
        return redis.Redis(**arguments)

    def _watchers(self) -> dict[str, Any]:
        """How to reach the sentinels; with ``sentinel_kwargs`` alone, as kombu does."""
        options = dict(self.address.sentinel_options)
        others = options.pop("min_other_sentinels", 0)
        patience = {"socket_timeout": 2.0, "socket_connect_timeout": 2.0}
        return {"min_other_sentinels": others, "sentinel_kwargs": {**patience, **options}}

    @property
    def client(self) -> Any:
        """redis-py's client, for programs that use it directly. It has connections of its own."""
        return self._clients()[1]

    def loop_client(self, patient: bool = True) -> Any:
        """A client of the running event loop; the impatient one does not repeat anything by itself."""
        self._clients()
        return self._loops.client(patient)

    def _loop_client(self, patient: bool) -> Any:
        tries = TRIES if patient else 0
        arguments = self._arguments()
        arguments["retry"] = AsyncRetry(backoff(), tries, supported_errors=UNAVAILABLE)
        if self.address.sentinels:
            sentinel: Any = AsyncSentinel(list(self.address.sentinels), **self._watchers())  # type: ignore[no-untyped-call]
            return sentinel.master_for(self.address.master, **arguments)
        client = redis.asyncio.Redis(**arguments)
        most = min(_LOOP_CONNECTIONS, arguments["max_connections"])
        pool = client.connection_pool
        client.connection_pool = redis.asyncio.BlockingConnectionPool(
            max_connections=most,
            timeout=_ANSWER_WITHIN,
            connection_class=pool.connection_class,
            **pool.connection_kwargs,
        )
        return client

    # -- calls

    def command(self, *words: Any, patient: bool = True) -> Any:
        """One command, tried again while the server is away, unless impatient."""
        with self.errors():
            return self._clients()[0].one(words, patient)

    def pipeline(self, commands: Iterable[Sequence[Any]], transaction: bool = False, patient: bool = True) -> list[Any]:
        """Several commands in one round trip; tried again while the server is away, unless impatient."""
        commands = list(commands)
        with self.errors():
            return self._clients()[0].many(commands, patient, transaction and len(commands) > 1)

    def time(self) -> float:
        """The server's clock, unix time."""
        seconds, micro = self.command("TIME")
        return int(seconds) + int(micro) / 1e6

    def call(self, name: str, keys: Sequence[str], arguments: Sequence[Any], once: bool = False) -> Any:
        """A script; with ``once`` never tried again after its request may have reached the server."""
        calls = self._clients()[0]
        text, digest = script(name)
        try:
            try:
                return calls.one(("EVALSHA", digest, len(keys), *keys, *arguments), not once)
            except redis.exceptions.NoScriptError:
                return calls.one(("EVAL", text, len(keys), *keys, *arguments), not once)
        except ERRORS as exc:
            raise as_ours(exc, self.where()) from None

    async def acall(self, name: str, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        """``call`` on an event loop, once."""
        client = self.loop_client(patient=False)
        text, digest = script(name)
        with self.errors():
            try:
                return await client.execute_command("EVALSHA", digest, len(keys), *keys, *arguments)
            except redis.exceptions.NoScriptError:
                return await client.execute_command("EVAL", text, len(keys), *keys, *arguments)

    async def acommand(self, *words: Any) -> Any:
        """``command`` on an event loop."""
        with self.errors():
            return await self.loop_client().execute_command(*words)

    async def apipeline(self, commands: Iterable[Sequence[Any]]) -> list[Any]:
        """``pipeline`` on an event loop, once."""
        with self.errors():
            pipe = self.loop_client(patient=False).pipeline(transaction=False)
            for words in commands:
                pipe.execute_command(*words)
            return await pipe.execute()  # type: ignore[no-any-return]

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Redis' errors as ours."""
        try:
            yield
        except ERRORS as exc:
            raise as_ours(exc, self.where()) from None

    @property
    def blocks_for(self) -> float:
        """Seconds for which a blocking command may wait on the server: its answer has to come within the socket's
        timeout, with a margin for the way."""
        patience = self._arguments()["socket_timeout"]
        return min(_BLOCKS_FOR, float(patience) / 2) if patience else _BLOCKS_FOR

    def where(self) -> str:
        """The server, for messages."""
        address = self.address
        if address.sentinels:
            return f"sentinel master {address.master}"
        return address.path or f"{address.host}:{address.port}"

    def pubsub(self) -> PubSub:
        """A subscription on a connection of its own; it does not reconnect by itself."""
        held = self._clients()[1]
        for subscription in taken_from(self._subscriptions):
            if subscription.again():
                return subscription
        return PubSub(held.pubsub(ignore_subscribe_messages=False))

    def leave(self, subscription: PubSub) -> None:
        """Give back a subscription; it is kept for the next user, since opening one takes several calls."""
        if len(self._subscriptions) >= _SUBSCRIPTIONS_KEPT:
            subscription.close()
        elif subscription.leave():
            self._subscriptions.append(subscription)

    def apubsub(self) -> Any:
        """redis' own subscription, of the running event loop."""
        return self.loop_client(patient=False).pubsub(ignore_subscribe_messages=False)

    def connection(self) -> RawConnection:
        """A connection of its own, for one blocking command at a time."""
        return RawConnection(self._clients()[1].connection_pool)

    def close(self) -> None:
        """Close this process's connections; the next call opens new ones."""
        if self._pid == os.getpid():
            for subscription in taken_from(self._subscriptions):
                subscription.close()
            for client in (self._calls, self._held):
                client.close()
            self._pid = 0


_clients_of_process: WeakSet[RedisClient] = WeakSet()


def _disinherit_all() -> None:
    for link in list(_clients_of_process):
        link.disinherit()


in_forks(_disinherit_all)
