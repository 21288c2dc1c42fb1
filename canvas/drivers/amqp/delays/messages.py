"""The delayed messages in RabbitMQ, for commands and monitoring: counted, shown, and moved before their time."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from canvas.drivers.amqp.broker import AmqpBroker
from canvas.drivers.amqp.channels.connecting import channel_of
from canvas.drivers.amqp.channels.publisher import Publication
from canvas.drivers.amqp.contents import due_of, from_amqp, to_content, to_payload
from canvas.drivers.amqp.delays.delay_queue import DelayQueue
from canvas.drivers.ports.values import Scheduled


class _Waiting(NamedTuple):
    """A message in a queue of a delay, with the delivery tag by which it can be acked."""

    tag: int
    delay: DelayQueue
    queue: str
    payload: bytes
    message_id: str
    due: float


class DelayedMessages:
    """The messages in all queues of delays that a process has noted."""

    def __init__(self, broker: AmqpBroker) -> None:
        self._broker = broker
        self._state = broker.state.messages

    def count(self) -> int:
        """How many there are."""
        return sum(self._lengths().values())

    def first(self, limit: int) -> list[Scheduled]:
        """The messages that are due first. They stay where they are."""
        with channel_of(self._broker.addresses, self._broker.timeout) as channel:
            found = [Scheduled(one.due, one.queue, one.payload) for one in self._read(channel, limit)]
        return sorted(found, key=lambda one: one.due)[:limit]

    def enqueue(self, queue: str, limit: int) -> int:
        """Move messages of a queue into it, those first that wait for the shortest delay. Returns how many."""
        moved = 0
        with channel_of(self._broker.addresses, self._broker.timeout) as channel:
            for one in self._read(channel):
                if moved < limit and not one.delay.exchange and one.queue == queue:
                    content = to_content(one.payload, one.message_id)
                    self._broker.publisher.publish([Publication("", queue, content)])
                    channel.basic_ack(one.tag)
                    moved += 1
        return moved

    def _lengths(self) -> dict[DelayQueue, int]:
        """The number of messages in each queue. Queues that RabbitMQ has deleted are dropped from the state."""
        found, gone = {}, []
        for name in self._state.delay_queues():
            delay, length = DelayQueue.named(name), self._broker.topology.length(name)
            if delay is None or length is None:
                gone.append(name)
            else:
                found[delay] = length
        self._state.forget_delay_queues(gone)
        return dict(sorted(found.items()))

    def _read(self, channel: Any, most: int | None = None) -> Iterator[_Waiting]:
        """The messages of all queues, at most ``most`` of each, without taking them: they return to their queues when
        the channel is closed."""
        for delay, length in self._lengths().items():
            for _ in range(length if most is None else min(most, length)):
                message = channel.basic_get(delay.name)
                if message is None:
                    break
                content = from_amqp(message)
                queue = message.delivery_info["routing_key"]
                payload, message_id, _ = to_payload(content, delay.exchange, queue)
                yield _Waiting(message.delivery_tag, delay, queue, payload, message_id, due_of(content))
