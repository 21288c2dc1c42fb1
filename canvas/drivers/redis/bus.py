"""Broadcasts and replies, for remote control (protocol.md §1.8, §6)."""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from canvas.drivers.redis.bindings import Bindings
from canvas.drivers.redis.connection.client import RedisClient
from canvas.drivers.redis.connection.pubsub import PubSub
from canvas.drivers.redis.keys import BrokerKeys

_AT_ONCE = 5.0
"""Seconds that one wait on a subscription lasts at most, so that a connection which is cut off is noticed."""
_LEAST = 0.01
"""Seconds; BRPOP takes 0 for no limit."""


_REPLIES_KEPT = 300
"""Seconds."""


class RedisBus:
    """The Bus of ``canvas.drivers.ports``."""

    def __init__(self, link: RedisClient, keys: BrokerKeys, bindings: Bindings) -> None:
        self._link = link
        self._keys = keys
        self._bindings = bindings

    def broadcast(self, exchange: str, payload: bytes, routing_key: str = "") -> None:
        self._link.command("PUBLISH", self._keys.channel(exchange, routing_key), payload)

    def subscribe(self, exchange: str, topics: bool = False, node: str = "") -> AbstractContextManager["Subscription"]:
        return subscribed(self._link, self._keys.channel(exchange, "*" if topics else ""))

    def fanout(self, exchange: str, routing_key: str) -> AbstractContextManager["Subscription"]:
        return subscribed(self._link, self._keys.channel(exchange, routing_key.replace("#", "*")))

    def reply(self, exchange: str, routing_key: str, payload: bytes) -> None:
        self._bindings.forget(exchange)
        queues = self._bindings.queues(exchange, routing_key) if exchange else [routing_key]
        lists = [self._keys.queue_list(queue, 0) for queue in queues]
        # The process that asked may be dead by now, and no other reads its queue.
        self._link.pipeline(
            [words for key in lists for words in (("LPUSH", key, payload), ("EXPIRE", key, _REPLIES_KEPT))]
        )

    def replies(self, exchange: str, routing_key: str) -> AbstractContextManager["ReplyQueue"]:
        return reply_queue(self._link, self._keys, exchange, routing_key)


class Subscription:
    """The Inbox of a fanout exchange."""

    def __init__(self, link: RedisClient, pubsub: PubSub) -> None:
        self._link = link
        self._pubsub = pubsub

    def next(self, timeout: float) -> bytes | None:
        deadline = time.monotonic() + timeout
        while True:
            with self._link.errors():
                message = self._pubsub.next(min(deadline - time.monotonic(), _AT_ONCE))
            if message is not None and message.kind == "pmessage":
                return message.data  # type: ignore[no-any-return]
            if time.monotonic() >= deadline:
                return None


class ReplyQueue:
    """The Inbox of a reply queue."""

    def __init__(self, link: RedisClient, key: str) -> None:
        self._link = link
        self._key = key

    def next(self, timeout: float) -> bytes | None:
        deadline = time.monotonic() + timeout
        while True:
            left = max(deadline - time.monotonic(), _LEAST)
            found = self._link.command("BRPOP", self._key, min(left, self._link.blocks_for))
            if found:
                return found[1]  # type: ignore[no-any-return]
            if time.monotonic() >= deadline:
                return None


@contextmanager
def subscribed(link: RedisClient, channel: str) -> Iterator[Subscription]:
    """Subscribed to a channel, or a pattern of channels, when the block begins."""
    pubsub = link.pubsub()
    try:
        with link.errors():
            pubsub.psubscribe(channel)
            while (answer := pubsub.next(5)) is not None and answer.kind != "psubscribe":
                continue
        yield Subscription(link, pubsub)
    finally:
        pubsub.close()


@contextmanager
def reply_queue(link: RedisClient, keys: BrokerKeys, exchange: str, routing_key: str) -> Iterator[ReplyQueue]:
    """A queue named as kombu names those of replies."""
    name = f"{routing_key}.{exchange}"
    member = keys.sep.join((routing_key, "", name))
    link.command("SADD", keys.binding(exchange), member)
    try:
        yield ReplyQueue(link, keys.queue_list(name, 0))
    finally:
        commands = [("SREM", keys.binding(exchange), member), ("DEL", *keys.queue_lists(name))]
        link.pipeline(commands, transaction=True)
