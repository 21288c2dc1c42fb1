"""The queue of this process for ``rpc://`` results in RabbitMQ."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from canvas.drivers.amqp.broker import AmqpBroker
from canvas.drivers.amqp.rpc.reader import AmqpReplyReader
from canvas.drivers.amqp.rpc.replies import Replies
from canvas.drivers.rpc.replies import RpcOptions
from canvas.errors import BrokerError
from canvas.model.settlement import ResultWrite


class AmqpReplyQueue:
    """The ReplyQueue of ``canvas.drivers.rpc``."""

    def __init__(self, broker: AmqpBroker, options: RpcOptions) -> None:
        self.expires = options.expires
        self.answer_within = broker.options.answer_within
        self._broker = broker
        self._options = options
        self._replies = Replies(options)
        self.begin()
        broker.before_publishing = self.declare

    @property
    def named(self) -> bool:
        return bool(self._declared)

    def begin(self) -> None:
        self._declared = 0.0

    def declare(self) -> None:
        """Make the queue before the first task of this process is sent. Raises OperationalError."""
        if self._declared and (not self.expires or time.monotonic() - self._declared < self.expires / 2):
            return
        self._make()

    def _make(self) -> int:
        """Make the queue. Returns how many results are in it."""
        milliseconds = (self.expires or 0) * 1000
        arguments = {"x-expires": milliseconds, "x-message-ttl": milliseconds} if milliseconds else {}
        name = self._options.queue()
        found = self._broker.topology.call(
            lambda channel: channel.queue_declare(name, durable=True, auto_delete=False, arguments=arguments)
        )
        self._declared = time.monotonic()
        return int(found.message_count)

    def reader(self, keep: Callable[[object, bytes], None]) -> AmqpReplyReader:
        return AmqpReplyReader(lambda: self._broker.link(heartbeat=True), self._make, self._options.queue, keep)

    def publish(self, stores: Sequence[ResultWrite]) -> None:
        self._broker.publisher.publish(self._replies.publications(stores))

    def delete(self) -> None:
        declared, self._declared = self._declared, 0.0
        if declared:
            with suppress(BrokerError):  # RabbitMQ deletes it when it has not been used for long
                self._broker.topology.call(lambda channel: channel.queue_delete(self._options.queue()))
            self._broker.topology.close()
