"""Broadcasts and replies, for remote control (PROTOCOL.md §1.8, §6)."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from canvas.drivers.redis.keys import SEP, BrokerKeys
from canvas.drivers.redis.link import Link


class Subscription:
    """The Inbox of a fanout exchange."""

    def __init__(self, link: Link, pubsub: Any) -> None:
        self._link = link
        self._pubsub = pubsub

    def next(self, timeout: float) -> bytes | None:
        with self._link.errors():
            message = self._pubsub.get_message(ignore_subscribe_messages=True, timeout=timeout)
        return message["data"] if message is not None else None


class ReplyQueue:
    """The Inbox of a queue of one's own."""

    def __init__(self, link: Link, key: str) -> None:
        self._link = link
        self._key = key

    def next(self, timeout: float) -> bytes | None:
        found = self._link.command("BRPOP", self._key, max(timeout, 0.01))
        return found[1] if found else None


@contextmanager
def subscribed(link: Link, channel: str) -> Iterator[Subscription]:
    """Subscribed to a channel, or a pattern of channels, when the block begins."""
    pubsub = link.pubsub()
    try:
        with link.errors():
            pubsub.psubscribe(channel)
            while (answer := pubsub.get_message(timeout=5)) is not None and answer["type"] != "psubscribe":
                continue
        yield Subscription(link, pubsub)
    finally:
        pubsub.close()


@contextmanager
def reply_queue(link: Link, keys: BrokerKeys, exchange: str, routing_key: str) -> Iterator[ReplyQueue]:
    """A queue named as kombu names those of replies."""
    name = f"{routing_key}.{exchange}"
    member = SEP.join((routing_key, "", name))
    link.command("SADD", keys.binding(exchange), member)
    try:
        yield ReplyQueue(link, keys.queue_list(name, 0))
    finally:
        commands = [("SREM", keys.binding(exchange), member), ("DEL", *keys.queue_lists(name))]
        link.pipeline(commands, transaction=True)
