"""Broadcasts and replies, through the exchanges and queues of Celery's remote control and events (protocol.md §4.4)."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from canvas.drivers.amqp.broker import AmqpBroker
from canvas.drivers.amqp.channels.connecting import close, connect, errors
from canvas.drivers.amqp.channels.publisher import Publication
from canvas.drivers.amqp.contents import from_amqp, to_content, to_payload
from canvas.drivers.amqp.options import InboxQueue
from canvas.interruptions import raise_interruption
from canvas.model.ids import new_id

_AT_ONCE = 5.0
"""Seconds that one wait lasts at most, so that a connection which is cut off is noticed."""


class AmqpBus:
    """The Bus of ``canvas.drivers.ports``."""

    fanout = None

    def __init__(self, broker: AmqpBroker) -> None:
        self._broker = broker

    def broadcast(self, exchange: str, payload: bytes, routing_key: str = "") -> None:
        self._declare(exchange, topics=bool(routing_key))
        self._broker.publisher.publish([Publication(exchange, routing_key, to_content(payload), mandatory=False)])

    def _declare(self, exchange: str, topics: bool) -> None:
        """A durable exchange of topics for events, and one that reaches all workers for commands, as Celery's."""
        self._broker.topology.declare_exchange(exchange, "topic" if topics else "fanout", durable=topics)

    @contextmanager
    def subscribe(self, exchange: str, topics: bool = False, node: str = "") -> Iterator["QueueInbox"]:
        self._declare(exchange, topics)
        options = self._broker.options
        queue = options.events if topics else options.control
        name = f"{options.events_prefix}.{new_id()}"
        if not topics:
            # A worker finds its durable queue again. One that is not durable may outlive its connection for a moment.
            name = f"{node if node and queue.durable else new_id()}.{exchange}"
        with self._inbox(exchange, name, "#" if topics else "", queue) as inbox:
            yield inbox

    def reply(self, exchange: str, routing_key: str, payload: bytes) -> None:
        if exchange and not self._broker.topology.has_exchange(exchange):
            return  # the process that asked is gone, and its exchange with it
        self._broker.publisher.publish([Publication(exchange, routing_key, to_content(payload), mandatory=False)])

    @contextmanager
    def replies(self, exchange: str, routing_key: str) -> Iterator["QueueInbox"]:
        self._broker.topology.declare_exchange(exchange, "direct", durable=False)
        with self._inbox(exchange, f"{routing_key}.{exchange}", routing_key, self._broker.options.control) as inbox:
            yield inbox

    @contextmanager
    def _inbox(self, exchange: str, name: str, routing_key: str, queue: InboxQueue) -> Iterator["QueueInbox"]:
        """A queue that this connection alone reads, bound to an exchange."""
        where = self._broker.where
        connection = connect(self._broker.addresses, self._broker.timeout)
        try:
            with errors(where):
                channel = connection.channel()
                channel.queue_declare(
                    name, exclusive=queue.exclusive, auto_delete=not queue.durable, durable=queue.durable,
                    arguments=queue.arguments,
                )  # fmt: skip
                channel.queue_bind(name, exchange, routing_key)
                inbox = QueueInbox(connection, where)
                channel.basic_consume(name, no_ack=True, callback=inbox.take)
            yield inbox
        finally:
            close(connection)


class QueueInbox:
    """The Inbox of a queue."""

    def __init__(self, connection: Any, where: str) -> None:
        self._connection = connection
        self._where = where
        self._payloads: list[bytes] = []

    def take(self, message: Any) -> None:
        """Keep a message that has come."""
        info = message.delivery_info
        self._payloads.append(to_payload(from_amqp(message), info["exchange"], info["routing_key"])[0])

    def next(self, timeout: float) -> bytes | None:
        deadline = time.monotonic() + timeout
        while not self._payloads:
            left = min(deadline - time.monotonic(), _AT_ONCE)
            if left <= 0:
                return None
            with errors(self._where):
                try:
                    self._connection.drain_events(timeout=left)
                except TimeoutError as exc:
                    raise_interruption(exc)
        return self._payloads.pop(0)
