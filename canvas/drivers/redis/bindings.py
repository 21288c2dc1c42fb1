"""Exchanges and their bindings, in kombu's sets (protocol.md §1.7)."""

import re
import time
from collections.abc import Sequence

from canvas.drivers.redis.connection.client import RedisClient
from canvas.drivers.redis.keys import BrokerKeys
from canvas.model.queue import Binding, Queue, topic_pattern

_FRESH_FOR = 5.0


class Bindings:
    """Which queues an exchange and routing key lead to; read at most every few seconds."""

    def __init__(self, link: RedisClient, keys: BrokerKeys) -> None:
        self._link = link
        self._keys = keys
        self._known: dict[str, tuple[float, list[tuple[str, re.Pattern[str] | None, str]]]] = {}

    def declare(self, queues: Sequence[Queue]) -> None:
        """Bind queues to their exchanges, in kombu's sets."""
        commands = []
        for name, way in ((queue.name, way) for queue in queues for way in queue.ways()):
            member, exchange = self._keys.sep.join((way.routing_key, _pattern(way), name)), way.exchange.name
            keys = (self._keys.binding(exchange), self._keys.permanent_binding(exchange))
            commands += [("SADD", key, member) for key in keys]
            self.forget(exchange)
        if commands:
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
        """The queues a message goes to; none, silently, where no binding matches."""
        found: list[str] = []
        for key, pattern, queue in self._read(exchange):
            matches = pattern.match(routing_key) is not None if pattern is not None else key == routing_key
            if matches and queue not in found:
                found.append(queue)
        return found

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
    """A topic binding's key as the regular expression that kombu stores; empty for direct ones."""
    if way.exchange.type == "fanout":
        return "^.*?$"
    if way.exchange.type != "topic":
        return ""
    return topic_pattern(way.routing_key)
