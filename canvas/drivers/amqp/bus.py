"""Broadcasts and replies, through the exchanges and queues of Celery's remote control and events (protocol.md §4.4)."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from amqp.exceptions import AMQPError

from canvas.drivers.amqp.broker import AmqpBroker
from canvas.drivers.amqp.connecting import connect, errors
from canvas.drivers.amqp.contents import to_content, to_payload
from canvas.drivers.amqp.protocol.frames import Content
from canvas.drivers.amqp.publisher import Publication
from canvas.model.ids import new_id

_AT_ONCE = 5.0
"""Seconds that one wait lasts at most, so that a connection which is cut off is noticed."""
_CONTROL = {"x-expires": 10_000, "x-message-ttl": 300_000}
_EVENTS = {"x-expires": 60_000, "x-message-ttl": 5_000}


class AmqpBus:
    """The Bus of ``canvas.drivers.ports``."""

    def __init__(self, broker: AmqpBroker) -> None:
        self._broker = broker

    def broadcast(self, exchange: str, payload: bytes, routing_key: str = "") -> None:
        self._declare(exchange, topics=bool(routing_key))
        self._broker.publish_contents([Publication(exchange, routing_key, to_content(payload))])

    def _declare(self, exchange: str, topics: bool) -> None:
        """A durable exchange of topics for events, and one that reaches all workers for commands, as Celery's."""
        self._broker.topology.declare_exchange(exchange, "topic" if topics else "fanout", durable=topics)

    @contextmanager
    def subscribe(self, exchange: str, topics: bool = False) -> Iterator["QueueInbox"]:
        self._declare(exchange, topics)
        name = f"{exchange}.{new_id()}" if topics else f"{new_id()}.{exchange}"
        with self._inbox(exchange, name, "#" if topics else "", _EVENTS if topics else _CONTROL) as inbox:
            yield inbox

    def reply(self, exchange: str, routing_key: str, payload: bytes) -> None:
        if exchange and not self._broker.topology.has_exchange(exchange):
            return  # the process that asked is gone, and its exchange with it
        self._broker.publish_contents([Publication(exchange, routing_key, to_content(payload))], mandatory=False)

    @contextmanager
    def replies(self, exchange: str, routing_key: str) -> Iterator["QueueInbox"]:
        self._broker.topology.declare_exchange(exchange, "direct", durable=False)
        with self._inbox(exchange, f"{routing_key}.{exchange}", routing_key, _CONTROL) as inbox:
            yield inbox

    @contextmanager
    def _inbox(self, exchange: str, queue: str, routing_key: str, arguments: dict[str, Any]) -> Iterator["QueueInbox"]:
        """A queue of this connection's own, bound to an exchange; it is deleted with the connection."""
        where = self._broker.where
        connection = connect(self._broker.addresses)
        try:
            with errors(where):
                channel = connection.channel()
                channel.queue_declare(queue, exclusive=True, auto_delete=True, durable=False, arguments=arguments)
                channel.queue_bind(queue, exchange, routing_key)
                inbox = QueueInbox(connection, where)
                channel.basic_consume(queue, no_ack=True, callback=inbox.take)
            yield inbox
        finally:
            with suppress(OSError, AMQPError):
                connection.close()


class QueueInbox:
    """The Inbox of a queue."""

    def __init__(self, connection: Any, where: str) -> None:
        self._connection = connection
        self._where = where
        self._payloads: list[bytes] = []

    def take(self, message: Any) -> None:
        """A message has come."""
        info, properties = message.delivery_info, dict(message.properties)
        body = message.body.encode() if isinstance(message.body, str) else bytes(message.body)
        content = Content(properties, body)
        self._payloads.append(to_payload(content, info["exchange"], info["routing_key"])[0])

    def next(self, timeout: float) -> bytes | None:
        deadline = time.monotonic() + timeout
        while not self._payloads:
            left = min(deadline - time.monotonic(), _AT_ONCE)
            if left <= 0:
                return None
            with errors(self._where), suppress(TimeoutError):
                self._connection.drain_events(timeout=left)
        return self._payloads.pop(0)
