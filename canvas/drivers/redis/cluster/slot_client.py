"""A client for the node that serves one slot, also after the slot has moved to another node."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from hashlib import sha1
from itertools import count
from typing import Any, TypeVar

from canvas.drivers.absence import Absence
from canvas.drivers.redis.cluster.topology import Cluster
from canvas.drivers.redis.connection.client import RedisClient, TextOf
from canvas.drivers.redis.connection.commands import Meanwhile, SlotNotServed
from canvas.drivers.redis.connection.pauses import FIRST_PAUSE, pauses
from canvas.drivers.redis.connection.pubsub import PubSub
from canvas.drivers.redis.connection.resp import Connection
from canvas.drivers.redis.connection.script_texts import script
from canvas.errors import BrokerError, OperationalError

T = TypeVar("T")
_MOVES = 5
"""How often a call follows a slot before it waits: the nodes may send it back and forth until they agree."""


@cache
def _with_anchor(name: str) -> tuple[str, str]:
    """A script's text that takes one key more, the anchor, before its own; and its SHA-1."""
    text = f"table.remove(KEYS, 1)\n{script(name)[0]}"
    return text, sha1(text.encode(), usedforsecurity=False).hexdigest()


class SlotClient(RedisClient):
    """A client whose keys are all in one slot. It follows the slot from node to node, and waits while it migrates.

    Scripts use keys that they do not declare. Of a slot that is migrating some keys are on one node and some on the
    other, so a script could fail in its middle. Every call of a script therefore declares a key that never exists, the
    *anchor*: a node refuses the call before it begins, with TRYAGAIN or ASK, until the migration has ended.
    """

    def __init__(self, cluster: Cluster, slot: int, anchor: str) -> None:
        super().__init__(cluster.addresses[0])
        self._cluster = cluster
        self._slot = slot
        self._anchor = anchor
        self._turns = count()
        self._held_at: dict[int, RedisClient] = {}
        """By its identity, the node of a connection that the caller holds."""

    def disinherit(self) -> None:
        """Like ``RedisClient``; the nodes do so themselves."""
        super().disinherit()
        self._cluster.disinherit()
        self._held_at.clear()

    def where(self) -> str:
        """The cluster, for messages."""
        return self._cluster.where()

    @property
    def absence(self) -> Absence:
        """The absence of the node that serves the slot."""
        return self._cluster.node(self._slot).absence

    def _routed(self, call: Callable[[RedisClient], T], retry: bool) -> T:
        tries = _Tries(self._cluster, self._slot, retry)
        while True:
            try:
                return call(self._cluster.node(self._slot))
            except (SlotNotServed, OperationalError) as exc:
                time.sleep(tries.pause(exc))

    def command(self, *words: Any, retry: bool = True) -> Any:
        """See ``RedisClient``."""

        def ask(node: RedisClient) -> Any:
            try:
                return node.command(*words, retry=False)
            except SlotNotServed as exc:
                if exc.code != "ASK":
                    raise
                return self._cluster.at(exc.target).pipeline([("ASKING",), words], retry=False)[1]

        return self._routed(ask, retry)

    def pipeline(self, commands: Iterable[Sequence[Any]], transaction: bool = False, retry: bool = True) -> list[Any]:
        """See ``RedisClient``."""
        every = list(commands)

        def send(node: RedisClient) -> list[Any]:
            try:
                return node.pipeline(every, transaction, retry=False)
            except SlotNotServed as exc:
                if transaction or exc.code not in ("ASK", "TRYAGAIN"):
                    raise
                # Some of the keys are on the other node by now.
                return [self.command(*words, retry=retry) for words in every]

        return self._routed(send, retry)

    def call(
        self, name: str, keys: Sequence[str], arguments: Sequence[Any], once: bool = False,
        text_of: TextOf = _with_anchor, meanwhile: Meanwhile = None,
    ) -> Any:  # fmt: skip
        """See ``RedisClient``."""
        anchored = [self._anchor, *keys]
        return self._routed(lambda node: node.call(name, anchored, arguments, True, text_of, meanwhile), not once)

    async def acall(
        self, name: str, keys: Sequence[str], arguments: Sequence[Any], text_of: TextOf = _with_anchor
    ) -> Any:
        """See ``RedisClient``."""
        anchored = [self._anchor, *keys]
        return await self._arouted(lambda node: node.acall(name, anchored, arguments, text_of), False)

    async def acommand(self, *words: Any, retry: bool = True) -> Any:
        """See ``RedisClient``."""

        async def ask(node: RedisClient) -> Any:
            try:
                return await node.acommand(*words, retry=False)
            except SlotNotServed as exc:
                if exc.code != "ASK":
                    raise
                return (await self._cluster.at(exc.target).apipeline([("ASKING",), words]))[1]

        return await self._arouted(ask, retry)

    async def apipeline(self, commands: Iterable[Sequence[Any]]) -> list[Any]:
        """See ``RedisClient``."""
        return [await self.acommand(*words, retry=False) for words in commands]

    async def _arouted(self, call: Callable[[RedisClient], Any], retry: bool) -> Any:
        # Imported late: a program on an event loop has imported it already; all others do without.
        import asyncio

        tries = _Tries(self._cluster, self._slot, retry)
        while True:
            try:
                node = self._cluster.known(self._slot)
                if node is None:
                    node = await asyncio.to_thread(self._cluster.node, self._slot)
                return await call(node)
            except (SlotNotServed, OperationalError) as exc:
                await asyncio.sleep(await asyncio.to_thread(tries.pause, exc))

    def follow(self, refusal: SlotNotServed) -> None:
        """Like ``RedisClient``; the slot may still be migrating, so that this takes a moment."""
        time.sleep(FIRST_PAUSE)
        self._cluster.refresh()

    def connection(self) -> Connection:
        """Like ``RedisClient``, to the slot's node."""
        node = self._cluster.node(self._slot)
        try:
            made = node.connection()
        except OSError:
            self._cluster.refresh()
            raise
        self._held_at[id(made)] = node
        return made

    def drop(self, connection: Connection) -> None:
        """See ``RedisClient``."""
        node = self._held_at.pop(id(connection), None)
        if node is not None:
            node.drop(connection)

    def pubsub(self) -> PubSub:
        """Like ``RedisClient``, at any node: each passes on the messages that the others publish."""
        return self._at_any(lambda node: node.pubsub())

    def leave(self, subscription: PubSub) -> None:
        """See ``RedisClient``."""
        self._at_any(lambda node: node.leave(subscription))

    def apubsub(self) -> Any:
        """Like ``RedisClient``, at the masters in turn: the last one may have been cut off."""
        masters = self._cluster.masters()
        return masters[next(self._turns) % len(masters)].apubsub()

    def _at_any(self, call: Callable[[RedisClient], T]) -> T:
        """A call at the first master that answers, the same one for as long as it does."""
        away: OperationalError | None = None
        for node in self._cluster.masters():
            try:
                return call(node)
            except OperationalError as exc:
                away = exc
        self._cluster.refresh()
        raise away or OperationalError(f"Redis {self.where()}: no node serves any slot")

    @property
    def client(self) -> Any:
        """redis-py's client of the cluster, for programs that use it directly."""
        from canvas.drivers.redis.connection.redis_py import cluster_client

        with self._lock:
            if self._library is None:
                self._library = cluster_client(self._cluster.addresses)
            return self._library

    def close(self) -> None:
        """Close this process's connections to all nodes."""
        self._cluster.close()


class _Tries:
    """The tries of one call."""

    def __init__(self, cluster: Cluster, slot: int, retry: bool) -> None:
        self._cluster = cluster
        self._slot = slot
        self._retry = retry
        self._moves = 0
        self._pauses = pauses()

    def pause(self, exc: SlotNotServed | OperationalError) -> float:
        """Seconds until the next try. Raises the error as one of canvas when there is no further try.

        A call that a node has refused had no effect, and is made again even where it must not be made twice.
        """
        if isinstance(exc, SlotNotServed):
            if exc.code == "CROSSSLOT":
                raise self._misread(exc)
            if exc.code == "MOVED" and self._moves < _MOVES:
                self._moves += 1
                self._cluster.moved(self._slot, exc.target)
                return 0.0
        elif not self._retry:
            self._look_again()
            raise exc
        self._look_again()
        seconds = next(self._pauses, None)
        if seconds is None:
            raise self._over(exc)
        return seconds

    def _look_again(self) -> None:
        try:
            self._cluster.refresh()
        except OperationalError:
            return  # no node answers now: the next try raises the error

    def _misread(self, exc: SlotNotServed) -> BrokerError:
        """The error of a call that was refused for keys of several slots: they are of one, so a proxy misreads them."""
        return BrokerError(
            f"Redis {self._cluster.where()} refused: {exc.refusal}. The keys are of one slot, so a proxy in between "
            "does not read their hash tags: name the nodes themselves in the URL"
        )

    def _over(self, exc: SlotNotServed | OperationalError) -> OperationalError:
        if isinstance(exc, OperationalError):
            return exc
        why = {
            "CLUSTERDOWN": "the cluster is down, or a part of it",
            "TRYAGAIN": f"slot {self._slot} is migrating",
            "ASK": f"slot {self._slot} is migrating",
        }.get(exc.code, f"its nodes do not agree who serves slot {self._slot}")
        return OperationalError(f"Redis {self._cluster.where()}: {why} ({exc.code})")
