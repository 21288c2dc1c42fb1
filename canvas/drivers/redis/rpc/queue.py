"""The list of this process for ``rpc://`` results in Redis, under the key of kombu's queues."""

import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from canvas.drivers.kombu_envelope import ENVELOPE
from canvas.drivers.redis.broker import RedisBroker
from canvas.drivers.rpc.reader import ReplyReader
from canvas.drivers.rpc.replies import RpcOptions
from canvas.errors import BrokerError, DecodeError, OperationalError
from canvas.model.message import Delivery, Publish
from canvas.model.settlement import ResultWrite

_log = logging.getLogger(__name__)
_AT_ONCE = 500
"""Results that are read in one call."""


class RedisReplyQueue:
    """The ReplyQueue of ``canvas.drivers.rpc``."""

    answer_within = 10.0

    def __init__(self, broker: RedisBroker, options: RpcOptions) -> None:
        self.expires = options.expires
        self._broker = broker
        self._options = options

    @property
    def named(self) -> bool:
        return self._options.named()

    def begin(self) -> None:
        """Nothing is kept between processes."""

    def reader(self, keep: Callable[[object, bytes], None]) -> "RedisReplyReader":
        return RedisReplyReader(self._broker, self._options.queue(), keep)

    def publish(self, stores: Sequence[ResultWrite]) -> None:
        publishes = self.publishes(stores)
        self._broker.publish(publishes)
        self.limit(publishes)

    def publishes(self, stores: Sequence[ResultWrite], delivery: Delivery | None = None) -> list[Publish]:
        """The messages, as ``RpcOptions.addressed`` addresses them."""
        return [
            Publish("", queue, 0, self._options.envelope(store, queue))
            for queue, store in self._options.addressed(stores, delivery)
        ]

    def limit(self, publishes: Iterable[Publish]) -> None:
        """Let lists expire whose process does not read them."""
        keys = {self._broker.keys.queue_list(one.routing_key, 0) for one in publishes}
        if keys and self.expires:
            # The messages have left. The next one to the same list limits it again.
            with suppress(OperationalError):
                self._broker.link.pipeline([("EXPIRE", key, self.expires) for key in keys])

    def delete(self) -> None:
        if self.named:
            with suppress(BrokerError):  # it expires
                self._broker.link.command("DEL", self._broker.keys.queue_list(self._options.queue(), 0))
            self._broker.link.close()


class RedisReplyReader(ReplyReader):
    """Reads the end of the list and drops it then, so that a lost connection loses no result: no other process reads
    the list, and new results come to its other end."""

    def __init__(self, broker: RedisBroker, queue: str, keep: Callable[[object, bytes], None]) -> None:
        super().__init__()
        self._link = broker.link
        self._key = broker.keys.queue_list(queue, 0)
        self._keep = keep

    def read(self) -> None:
        self._take()
        self.read_earlier()
        while not self.closed:
            # Waits for an element, and leaves it where it is.
            if self._link.command("BLMOVE", self._key, self._key, "RIGHT", "RIGHT", self._link.blocks_for):
                self._take()

    def _take(self) -> None:
        while not self.closed and (payloads := self._link.command("LRANGE", self._key, -_AT_ONCE, -1)):
            for payload in reversed(payloads):
                self._decode(payload)
            # Made once: a second call would drop results that are not read. Without an effect, they are read again.
            with suppress(OperationalError):
                self._link.command("LTRIM", self._key, 0, -len(payloads) - 1, retry=False)

    def _decode(self, payload: bytes) -> None:
        try:
            message = ENVELOPE.decode(payload)
        except DecodeError as exc:
            _log.warning("A message in the queue for results is no result, and is dropped: %s", exc)
            return
        self._keep(message.properties.get("correlation_id"), message.body)
