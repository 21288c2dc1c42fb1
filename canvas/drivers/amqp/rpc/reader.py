"""Reads the results that come to this process, on a thread of its own."""

import threading
import time
from collections.abc import Callable

from canvas.drivers.amqp.channels.link import CHANNEL, Link
from canvas.drivers.amqp.channels.waking import Wake, readable
from canvas.drivers.amqp.protocol import methods
from canvas.drivers.amqp.protocol.frames import Delivered, OtherMethod, ack
from canvas.errors import OperationalError, RefusedError

_AHEAD = 500
"""Results that RabbitMQ sends before they are acked."""
_AGAIN = 0.5
"""Seconds until the next try to connect."""
_BEAT = 10.0
"""Seconds between heartbeats."""


class ReplyReader:
    """The thread, which connects again where it is cut off. The broker then sends unacked messages again."""

    def __init__(
        self, connect: Callable[[], Link], declare: Callable[[], int], keep: Callable[[Delivered], None]
    ) -> None:
        """``declare`` makes the queue and returns how many messages it has. ``keep`` takes each message."""
        self._connect = connect
        self._declare = declare
        self._keep = keep
        self._wake = Wake()
        self._closed = False
        self._ready = threading.Event()
        self._error: OperationalError | RefusedError | None = None

    def start(self, queue: str) -> "ReplyReader":
        """Begin to read."""
        threading.Thread(target=self._run, args=(queue,), name="canvas-replies", daemon=True).start()
        return self

    def wait_until_ready(self, seconds: float) -> None:
        """Return when the messages that were in the queue at the start are read. Raises OperationalError or
        RefusedError when the broker cannot be used."""
        self._ready.wait(seconds)
        if self._error is not None and not self._ready.is_set():
            raise self._error

    def close(self) -> None:
        """End the thread."""
        self._closed = True
        self._wake.set()

    def _run(self, queue: str) -> None:
        while not self._closed:
            try:
                self._read(queue)
            except (OperationalError, RefusedError) as exc:
                self._error = exc
                if not self._ready.is_set():
                    self._ready.set()
                    return
                time.sleep(_AGAIN)

    def _read(self, queue: str) -> None:
        before = self._declare()
        link = self._connect()
        try:
            link.call(methods.limit_prefetch(CHANNEL, _AHEAD), methods.QOS_OK)
            link.call(methods.consume(CHANNEL, queue, "canvas"), methods.CONSUME_OK)
            count, beat_at = 0, time.monotonic() + _BEAT
            while not self._closed:
                link.read()
                count += self._take(link)
                if count >= before:
                    self._error = None
                    self._ready.set()
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
                self._keep(event)
                count, tag = count + 1, event.tag
            elif isinstance(event, OtherMethod) and event.number == methods.CANCEL:
                raise OperationalError("the queue for results was deleted")
        if tag:
            link.send(ack(CHANNEL, tag, multiple=True))
        return count
