"""Reads the results that come to this process from RabbitMQ."""

import time
from collections.abc import Callable

from canvas.drivers.amqp.channels.link import CHANNEL, Link
from canvas.drivers.amqp.channels.waking import Wake, readable
from canvas.drivers.amqp.protocol import methods
from canvas.drivers.amqp.protocol.frames import Delivered, OtherMethod, ack
from canvas.drivers.rpc.reader import ReplyReader
from canvas.errors import OperationalError

_AHEAD = 500
"""Results that RabbitMQ sends before they are acked."""
_BEAT = 10.0
"""Seconds between heartbeats."""


class AmqpReplyReader(ReplyReader):
    """The consumer of the queue. RabbitMQ sends unacked messages again after a lost connection."""

    def __init__(
        self, connect: Callable[[], Link], declare: Callable[[], int], queue: Callable[[], str],
        keep: Callable[[object, bytes], None],
    ) -> None:  # fmt: skip
        """``declare`` makes the queue and returns how many messages it has. ``keep`` takes each message."""
        super().__init__()
        self._connect = connect
        self._declare = declare
        self._queue = queue
        self._keep = keep
        self._wake = Wake()

    def close(self) -> None:
        super().close()
        self._wake.set()

    def read(self) -> None:
        before = self._declare()
        link = self._connect()
        try:
            link.call(methods.limit_prefetch(CHANNEL, _AHEAD), methods.QOS_OK)
            link.call(methods.consume(CHANNEL, self._queue(), "canvas"), methods.CONSUME_OK)
            count, beat_at = 0, time.monotonic() + _BEAT
            while not self.closed:
                link.read()
                count += self._take(link)
                if count >= before:
                    self.read_earlier()
                if time.monotonic() > beat_at:
                    link.beat()
                    beat_at = time.monotonic() + _BEAT
                if not link.events:
                    readable(link, self._wake.reading, _BEAT)
        finally:
            link.close()

    def _take(self, link: Link) -> int:
        """Keep the messages that have come, and ack them. Returns their number. Raises OperationalError when the queue
        is gone."""
        count, tag = 0, 0
        while link.events:
            event = link.events.popleft()
            if isinstance(event, Delivered):
                self._keep(event.content.properties.get("correlation_id"), event.content.body)
                count, tag = count + 1, event.tag
            elif isinstance(event, OtherMethod) and event.number == methods.CANCEL:
                raise OperationalError("the queue for results was deleted")
        if tag:
            link.send(ack(CHANNEL, tag, multiple=True))
        return count
