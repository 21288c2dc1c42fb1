"""The connection to one Redis server.

Commands are tried again while the server is unreachable for a moment; after that OperationalError. A call that must
not be repeated blindly (a settlement, a lease) is made with ``once``.
"""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias
from weakref import WeakSet

from canvas.drivers import silence
from canvas.drivers.absence import Absence
from canvas.drivers.redis.connection.commands import (
    CHECK_AFTER,
    Commands,
    Meanwhile,
    SlotNotServed,
    WatchedCommands,
    as_ours,
    taken_from,
)
from canvas.drivers.redis.connection.connecting import Connector
from canvas.drivers.redis.connection.pubsub import PubSub
from canvas.drivers.redis.connection.resp import ANSWER_WITHIN, ERRORS, Connection, NoScript
from canvas.drivers.redis.connection.script_texts import script
from canvas.drivers.redis.connection.sockets import close_sockets
from canvas.drivers.redis.url import Address
from canvas.forks import in_forks

if TYPE_CHECKING:
    from canvas.drivers.redis.connection.event_loops import LoopClients

_BLOCKS_FOR = 5.0
_SUBSCRIPTIONS_KEPT = 4
"""Open subscriptions without a user, kept for the next wait."""
TextOf: TypeAlias = Callable[[str], tuple[str, str]]
"""Gives the text of a script, and its SHA-1."""


class RedisClient:
    """Clients for one address, for threads and for event loops; new ones after a fork."""

    def __init__(self, address: Address, about: str = "") -> None:
        """``about``: the purpose of the server, in messages."""
        self.address = address
        self._about = f" ({about})" if about else ""
        self._pid = 0
        self._lock = threading.Lock()
        self._calls: Any = None
        self._held: Any = None
        self._connectors: tuple[Connector, ...] = ()
        self._subscriptions: deque[PubSub] = deque()
        self._loops: LoopClients | None = None
        self._library: Any = None
        self._inherited: list[Any] = []
        _clients_of_process.add(self)

    def disinherit(self) -> None:
        """In a forked process: close its copies of the parent's connections. The next call opens others.

        A copy that stays open would keep the parent's waiting commands alive at the server after the parent has ended.
        """
        self._lock = threading.Lock()
        if not self._pid:
            return
        for connector in self._connectors:
            connector.close_inherited()
        if self._loops is not None:
            self._loops.close_inherited()
        if self._library is not None:
            close_sockets([self._library])
        # When redis-py's objects are deleted they use objects that they share with the parent, such as its selector.
        self._inherited.append((self._connectors, self._loops, self._library, self._subscriptions))
        self._calls = self._held = self._loops = self._library = None
        self._connectors, self._subscriptions, self._pid = (), deque(), 0

    def _clients(self) -> tuple[Commands, Connector]:
        """The connections for calls, and those that are held: for subscriptions and blocking commands."""
        if self._pid != os.getpid():
            with self._lock:
                if self._pid != os.getpid():
                    calls, held = self._connectors = Connector(self.address), Connector(self.address)
                    check_after = self.address.options.get("health_check_interval", CHECK_AFTER)
                    self._calls, self._held = self._commands(calls, float(check_after)), held
                    self._loops, self._library, self._subscriptions = None, None, deque()
                    self._pid = os.getpid()
        return self._calls, self._held

    def _commands(self, connector: Connector, check_after: float) -> Commands:
        if silence.report is None:
            return Commands(connector, check_after)
        return WatchedCommands(connector, check_after, f"Redis at {self.where()}")

    @property
    def client(self) -> Any:
        """redis-py's client, for programs that use it directly. It has connections of its own."""
        self._clients()
        with self._lock:
            if self._library is None:
                from canvas.drivers.redis.connection.redis_py import client

                self._library = client(self.address)
            return self._library

    def loop_client(self, retry: bool = True) -> Any:
        """A client of the running event loop; without ``retry`` it repeats no command."""
        self._clients()
        loops = self._loops
        if loops is None:
            # Imported late: most programs have no event loop, and the library takes as long to load as all of canvas.
            from canvas.drivers.redis.connection.event_loops import LoopClients
            from canvas.drivers.redis.connection.redis_py import loop_client

            with self._lock:
                loops = self._loops = self._loops or LoopClients(partial(loop_client, self.address))
        return loops.client(retry)

    @property
    def absence(self) -> Absence:
        """When this process was last without the server."""
        return self._clients()[0].absence

    def command(self, *words: Any, retry: bool = True) -> Any:
        """One command; with ``retry`` made again while the server is unreachable."""
        with self.errors():
            return self._clients()[0].one(words, retry)

    def pipeline(self, commands: Iterable[Sequence[Any]], transaction: bool = False, retry: bool = True) -> list[Any]:
        """Several commands in one round trip; with ``retry`` made again while the server is unreachable."""
        commands = list(commands)
        with self.errors():
            return self._clients()[0].many(commands, retry, transaction and len(commands) > 1)

    def time(self) -> float:
        """The server's clock, unix time."""
        seconds, micro = self.command("TIME")
        return int(seconds) + int(micro) / 1e6

    def call(
        self, name: str, keys: Sequence[str], arguments: Sequence[Any], once: bool = False, text_of: TextOf = script,
        meanwhile: Meanwhile = None,
    ) -> Any:  # fmt: skip
        """A script; with ``once`` never tried again after its request may have reached the server, and ``meanwhile`` is
        called while the server works on it. ``text_of``: gives its text."""
        calls = self._calls if self._pid == os.getpid() else self._clients()[0]
        text, digest = text_of(name)
        try:
            try:
                return calls.one(("EVALSHA", digest, f"{len(keys)}", *keys, *arguments), not once, meanwhile)
            except NoScript:
                return calls.one(("EVAL", text, len(keys), *keys, *arguments), not once)
        except ERRORS as exc:
            raise as_ours(exc, self.where()) from None

    async def _client_of_task(self, retry: bool) -> Any:
        """The client of the event loop, for a task that is not cancelled."""
        from canvas.drivers.redis.connection.event_loops import take_cancellation

        await take_cancellation()
        return self.loop_client(retry)

    async def acall(self, name: str, keys: Sequence[str], arguments: Sequence[Any], text_of: TextOf = script) -> Any:
        """``call`` on an event loop, once."""
        client = await self._client_of_task(retry=False)
        text, digest = text_of(name)
        try:
            with self.loop_errors(NoScript):
                return await client.execute_command("EVALSHA", digest, len(keys), *keys, *arguments)
        except NoScript:
            with self.loop_errors():
                return await client.execute_command("EVAL", text, len(keys), *keys, *arguments)

    async def acommand(self, *words: Any, retry: bool = True) -> Any:
        """``command`` on an event loop."""
        client = await self._client_of_task(retry)
        with self.loop_errors():
            return await client.execute_command(*words)

    async def apipeline(self, commands: Iterable[Sequence[Any]]) -> list[Any]:
        """``pipeline`` on an event loop, once."""
        pipe = (await self._client_of_task(retry=False)).pipeline(transaction=False)
        for words in commands:
            pipe.execute_command(*words)
        with self.loop_errors():
            return await pipe.execute()  # type: ignore[no-any-return]

    @contextmanager
    def errors(self, *but: type[Exception]) -> Iterator[None]:
        """A connection's errors as those of canvas, except for those of the classes ``but``."""
        try:
            yield
        except but:
            raise
        except ERRORS as exc:
            raise as_ours(exc, self.where()) from None

    @contextmanager
    def loop_errors(self, *but: type[Exception]) -> Iterator[None]:
        """``errors``, where an event loop's client raises them. A cancellation in it is not lost."""
        from canvas.drivers.redis.connection.event_loops import cancellation_kept
        from canvas.drivers.redis.connection.redis_py import translated

        with cancellation_kept(), self.errors(*but), translated():
            yield

    def follow(self, refusal: SlotNotServed) -> None:
        """Called when a cluster's node has refused a blocking command: look for the node that takes it. A client of one
        server raises ``refusal``."""
        raise refusal

    @property
    def blocks_for(self) -> float:
        """Seconds for which a blocking command may wait on the server: its answer has to come within the socket's
        timeout, with a margin for the network."""
        timeout = self.address.options.get("socket_timeout", ANSWER_WITHIN)
        return min(_BLOCKS_FOR, float(timeout) / 2) if timeout else _BLOCKS_FOR

    def where(self) -> str:
        """The server, for messages."""
        address = self.address
        if address.sentinels:
            return f"sentinel master {address.master}{self._about}"
        return f"{address.path or f'{address.host}:{address.port}'}{self._about}"

    def pubsub(self) -> PubSub:
        """A subscription on a connection of its own; it does not reconnect."""
        held = self._clients()[1]
        for subscription in taken_from(self._subscriptions):
            if subscription.again():
                return subscription
        with self.errors():
            return PubSub(held)

    def leave(self, subscription: PubSub) -> None:
        """End the use of a subscription. It is kept for the next user, since opening one takes several calls."""
        if len(self._subscriptions) >= _SUBSCRIPTIONS_KEPT:
            subscription.close()
        elif subscription.leave():
            self._subscriptions.append(subscription)

    def apubsub(self) -> Any:
        """redis-py's subscription, of the running event loop."""
        return self.loop_client(retry=False).pubsub(ignore_subscribe_messages=False)

    def connection(self) -> Connection:
        """A connection of its own, for blocking commands."""
        return self._clients()[1].connection()

    def drop(self, connection: Connection) -> None:
        """Close one that ``connection`` gave."""
        self._clients()[1].drop(connection)

    def close(self) -> None:
        """Close this process's connections; the next call opens new ones."""
        if self._pid == os.getpid():
            for subscription in taken_from(self._subscriptions):
                subscription.close()
            self._calls.close()
            if self._library is not None:
                self._library.close()
            self._library, self._pid = None, 0


_clients_of_process: WeakSet[RedisClient] = WeakSet()


def _disinherit_all() -> None:
    for link in list(_clients_of_process):
        link.disinherit()


in_forks(_disinherit_all)
