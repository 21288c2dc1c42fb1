"""Sends messages on to RabbitMQ: finds the exchange of each, and empties the outboxes of the state server."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from canvas.drivers.amqp.channels.publisher import Publication, Publisher
from canvas.drivers.amqp.contents import Outgoing, to_content
from canvas.drivers.amqp.delays.delay_queue import DelayQueue
from canvas.drivers.amqp.delays.queues import DelayQueues
from canvas.drivers.amqp.protocol.frames import Content, Returned, written
from canvas.drivers.amqp.topology import Topology
from canvas.drivers.ports.message_state import StateParts
from canvas.drivers.unroutable import UnroutableMessages
from canvas.errors import EncodeError
from canvas.model.ids import new_id
from canvas.model.message import Publish
from canvas.model.settlement import DelayedPublish
from canvas.telemetry import emit

_AT_ONCE = 500
_SMALL = 1 << 20
"""Bytes of a message, in the form of an outbox, that every broker takes."""
_REFUSED_FOR = 0.1
"""Seconds after which a worker that settles tasks tries to send the messages that RabbitMQ has refused."""
_REPORTED_EVERY = 30.0
NEVER = float("inf")
_FORWARDS_WITHIN = 15.0
"""Seconds after which messages that a process has claimed from the outbox of all workers return there, if it is
dead."""


class Destinations:
    """The queues and exchanges of messages."""

    def __init__(self, topology: Topology, delays: DelayQueues, now: Callable[[], float]) -> None:
        """``now``: unix time by the clock by which messages are due."""
        self._topology = topology
        self._delays = delays
        self._now = now
        self._unroutable = UnroutableMessages()

    def exists(self, message: Publish) -> bool:
        """Make the queue that a message is routed to. Returns whether its exchange exists; if not, that is reported."""
        if message.queue is not None and not message.queue.declaration.is_broadcast:
            self._topology.declare([message.queue])
        if not message.exchange or self._topology.has_exchange(message.exchange):
            return True
        self._report(message.exchange, message.routing_key, to_content(message.payload))
        return False

    def outgoing(self, publishes: Iterable[Publish], deferrals: Iterable[DelayedPublish] = ()) -> list[Outgoing]:
        """Messages as outboxes keep them; without those whose exchange does not exist. Raises EncodeError for one that
        is too large for the broker."""
        found = [Outgoing.of(publish) for publish in publishes if self.exists(publish)]
        return self.checked(found + [Outgoing.of(publish, due) for due, publish in deferrals if self.exists(publish)])

    def checked(self, outgoing: list[Outgoing]) -> list[Outgoing]:
        """The messages. Raises EncodeError for one that is too large for the broker: it would close the channel, each
        time that the message is taken from its outbox."""
        for one in outgoing:
            if len(one.payload) > _SMALL:
                self._topology.check_size(len(one.content().body))
        return outgoing

    def publications(self, outgoing: Iterable[Outgoing]) -> list[Publication]:
        """Messages as they are published now: one that is not due goes to a queue of its delay."""
        found = []
        for one in outgoing:
            if one.exchange and not self._topology.has_exchange(one.exchange):
                self._report(one.exchange, one.routing_key, one.content())
                continue
            exchange, left = one.exchange, one.due - self._now() if one.due else 0.0
            if left > 0:
                exchange = self._delays.exchange_for(left, one.exchange, one.routing_key)
            found.append(Publication(exchange, one.routing_key, one.content(), one.mandatory))
        return found

    def copies(self, outgoing: Iterable[Outgoing]) -> list[Publication]:
        """Like ``publications``, for messages that RabbitMQ has delivered before.

        If the headers of a message by another program fill a frame, those of the copy are too long: the copy is sent as
        bytes.
        """
        pairs = [(one, copy) for one in outgoing for copy in self.publications([one])]
        return [copy._replace(content=_carried(one, copy.content)) for one, copy in pairs]

    def remade(self, returned: Iterable[Returned]) -> list[Publication]:
        """Make the queues that returned messages were sent to; these messages. Others are reported: no binding matches,
        or their queue is left to other programs."""
        found = []
        for one in returned:
            delay = DelayQueue.named(one.exchange)
            if delay is not None:
                self._delays.make(delay)
            elif one.exchange:
                self._unroutable.report_unbound(one.exchange, one.routing_key, _headers(one.content))
                continue
            elif not self._topology.make_again(one.routing_key):
                why = f"there is no queue {one.routing_key!r}, which has no_declare"
                self._unroutable.report("", one.routing_key, _headers(one.content), why)
                continue
            found.append(Publication(one.exchange, one.routing_key, one.content))
        return found

    def existing(self, messages: Sequence[Publication]) -> list[Publication]:
        """The messages whose exchanges exist, after the broker has closed a channel: those of delays are made again."""
        self.forget()
        for delay in {DelayQueue.named(one.exchange) for one in messages}:
            if delay is not None:
                self._delays.make(delay)
        found = []
        for one in messages:
            if not one.exchange or self._topology.has_exchange(one.exchange):
                found.append(one)
            else:
                self._report(one.exchange, one.routing_key, one.content)
        return found

    def _report(self, exchange: str, routing_key: str, content: Content) -> None:
        self._unroutable.report(exchange, routing_key, _headers(content), f"there is no exchange {exchange!r}")

    def elsewhere(self, refused: Sequence[Publication]) -> list[Publication]:
        """Messages that the broker does not take: those that were to be delayed go to other queues of delays."""
        return [one._replace(exchange=self._delays.instead_of(one.exchange)) for one in refused]

    def forget(self) -> None:
        """Ask the broker again which queues and exchanges exist: a message did not reach it."""
        self._delays.forget()
        self._topology.forget_exchanges()


class Outboxes:
    """Empties the outboxes of the state server into RabbitMQ."""

    def __init__(self, state: StateParts, publisher: Publisher, destinations: Destinations) -> None:
        self._state = state
        self._publisher = publisher
        self._destinations = destinations
        self.disinherit()

    def disinherit(self) -> None:
        """In a forked process: take another lock, and leave the messages that the parent has claimed to the parent."""
        self._forwarding = threading.Lock()
        self._again_at = NEVER
        self._report_at = 0.0
        self._forwarder = ""
        """The name under which messages of the outbox of all workers are claimed that may not be sent yet; ``""``: none
        are."""

    def send_left(self, worker: str) -> None:
        """Publish the messages in a worker's own outbox. Raises BrokerError."""
        while entries := self._state.messages.unsent(worker, _AT_ONCE):
            self._publish(worker, entries)

    def forward(self) -> int:
        """Publish the messages in the outbox of all workers. Returns their number. Raises BrokerError."""
        messages, total = self._state.messages, 0
        if not (self._forwarder or messages.shared_count()):
            return 0
        with self._forwarding:
            # The messages that a process has claimed return to the outbox when it dies, as those of a worker do.
            self._forwarder = self._forwarder or f"forwarder-{new_id()}"
            self._state.recovery.heartbeat(self._forwarder, [""], _FORWARDS_WITHIN)
            while entries := messages.claim(self._forwarder, _AT_ONCE):
                refused = self._publish(self._forwarder, entries)
                total += len(entries) - refused
                if refused:
                    break
            self._state.recovery.unregister(self._forwarder)
            self._forwarder = ""
        return total

    def due(self) -> bool:
        """Whether messages that RabbitMQ has refused may be tried again: its queues may have become shorter."""
        return time.monotonic() >= self._again_at

    def _publish(self, owner: str, entries: Sequence[bytes]) -> int:
        """Publish the first entries of an outbox, and delete them there. Those that RabbitMQ refuses, because their
        queue is full, wait in the outbox of all workers: a worker that waited for the queue would never empty it.
        Returns the number of those refused."""
        outgoing = [Outgoing.unpacked(entry) for entry in entries]
        ids = self._publisher.offer(self._destinations.copies(outgoing))
        refused = [place for place, one in enumerate(outgoing) if ids and one.message_id in ids]
        self._state.messages.sent(owner, len(entries), [entries[place] for place in refused])
        self._again_at = time.monotonic() + _REFUSED_FOR if refused else NEVER
        if refused and time.monotonic() >= self._report_at:
            self._report_at = time.monotonic() + _REPORTED_EVERY
            keys = sorted({outgoing[place].routing_key for place in refused})
            emit("broker.queues_full", queues=", ".join(keys), messages=len(refused))
        return len(refused)


def _headers(content: Content) -> Mapping[str, Any]:
    return content.properties.get("application_headers") or {}


def _carried(one: Outgoing, content: Content) -> Content:
    """The content of a message if AMQP can carry it; else the message as bytes."""
    try:
        return written(content)
    except EncodeError:
        return one.content_as_bytes()
