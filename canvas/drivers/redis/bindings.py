"""Exchanges and their bindings, in kombu's sets (protocol.md §1.7)."""

import json
import re
import time
from collections.abc import Collection, Iterator, Sequence

from canvas.drivers.kombu_envelope import ENVELOPE
from canvas.drivers.redis.connection.client import RedisClient
from canvas.drivers.redis.keys import BrokerKeys
from canvas.drivers.unroutable import UnroutableMessages
from canvas.model.message import Publish
from canvas.model.queue import OWN_QUEUE, Binding, Queue, topic_pattern

_FRESH_FOR = 5.0


class Bindings:
    """Which queues an exchange and routing key lead to; read at most every few seconds."""

    def __init__(self, link: RedisClient, keys: BrokerKeys) -> None:
        self._link = link
        self._keys = keys
        self._unroutable = UnroutableMessages()
        self._known: dict[str, tuple[float, list[tuple[str, re.Pattern[str] | None, str]]]] = {}

    def declare(self, queues: Sequence[Queue]) -> None:
        """Bind queues to their exchanges, in kombu's sets."""
        commands: list[Sequence[str]] = []
        for queue in queues:
            places = list(self._places(queue))
            commands += [("SADD", key, member) for key, member in places]
            if queue.name.startswith(OWN_QUEUE):
                commands.append(("HSET", self._keys.own_bindings, queue.name, json.dumps(places)))
            for way in queue.ways():
                self.forget(way.exchange.name)
        if commands:
            self._link.pipeline(commands, transaction=True)

    def _places(self, queue: Queue) -> Iterator[tuple[str, str]]:
        """The sets that hold the bindings of a queue, and its entry in each."""
        for way in queue.ways():
            # Celery's clients take the exchange of a Broadcast for a direct one, unless they have declared it.
            member, exchange = self._keys.sep.join((way.routing_key, _pattern(way), queue.name)), way.exchange.name
            yield self._keys.binding(exchange), member
            yield self._keys.permanent_binding(exchange), member

    def delete_own(self, queues: Collection[str]) -> None:
        """Delete the queues that nodes had for themselves, and their bindings."""
        if not queues:
            return
        found = self._link.command("HMGET", self._keys.own_bindings, *queues)
        places = [place for stored in found if stored is not None for place in json.loads(stored)]
        lists = [key for queue in queues for key in self._keys.queue_lists(queue)]
        commands: list[Sequence[str]] = [("SREM", key, member) for key, member in places]
        commands += [("HDEL", self._keys.own_bindings, *queues), ("UNLINK", *lists)]
        self._link.pipeline(commands, transaction=True)

    def forget(self, exchange: str) -> None:
        """Read the exchange's bindings again when they are next asked for."""
        self._known.pop(exchange, None)

    def ensure(self, queue: Queue, exchange: str) -> None:
        """Bind a queue, if ``exchange`` is its exchange and it is not bound there yet."""
        theirs = any(way.exchange.name == exchange for way in queue.ways())
        if theirs and all(bound != queue.name for _, _, bound in self._read(exchange)):
            self.declare([queue])

    def queues(self, exchange: str, routing_key: str) -> list[str]:
        """The queues a message goes to; none where no binding matches."""
        found: list[str] = []
        for key, pattern, queue in self._read(exchange):
            matches = pattern.match(routing_key) is not None if pattern is not None else key == routing_key
            if matches and queue not in found:
                found.append(queue)
        return found

    def lists_of(self, message: Publish) -> list[str]:
        """Like ``ScriptArguments.lists_of``, of a message to an exchange."""
        exchange, queue = message.exchange, message.queue
        if queue is not None and queue.is_fanout(exchange):
            return [self._keys.fanout(exchange, message.routing_key)]
        if queue is not None:
            self.ensure(queue, exchange)
        queues = self.queues(exchange, message.routing_key)
        if not queues:
            self.report(message)
        return [self._keys.list_of(queue, message.priority) for queue in queues]

    def report(self, message: Publish) -> None:
        """Report a message that goes to no queue."""
        headers = ENVELOPE.decode(message.payload).headers
        self._unroutable.report_unbound(message.exchange, message.routing_key, headers)

    def _read(self, exchange: str) -> list[tuple[str, re.Pattern[str] | None, str]]:
        now = time.monotonic()
        known = self._known.get(exchange)
        if known is not None and now - known[0] < _FRESH_FOR:
            return known[1]
        members = self._link.command("SMEMBERS", self._keys.binding(exchange))
        parsed = []
        for member in members:
            key, pattern, queue = member.decode().split(self._keys.sep)
            parsed.append((key, re.compile(pattern) if pattern else None, queue))
        self._known[exchange] = (now, parsed)
        return parsed


def _pattern(way: Binding) -> str:
    """A topic binding's key as the regular expression that kombu stores; empty for others."""
    if way.exchange.type != "topic":
        return ""
    return topic_pattern(way.routing_key)
