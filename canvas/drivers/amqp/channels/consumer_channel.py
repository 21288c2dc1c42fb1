"""A worker's channel: connecting, and the consumers that push messages to it."""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import count
from typing import NamedTuple, Protocol

from canvas.drivers.amqp.channels.confirms import Confirms
from canvas.drivers.amqp.channels.link import CHANNEL, Link
from canvas.drivers.amqp.protocol import methods
from canvas.drivers.amqp.protocol.frames import FRAME_MAX, Content, Delivered, Event, OtherMethod
from canvas.drivers.ports.message_state import Arrival
from canvas.errors import OperationalError

_ONE_BY_ONE = 1
"""Messages that the broker sends to a consumer ahead of their acks. A worker asks for more as it needs them."""


class Arrived(NamedTuple):
    """A message that the broker has delivered on a session."""

    link: Link
    queue: str
    number: int
    """AMQP's delivery tag, which is valid on that channel only."""
    redelivered: bool
    exchange: str
    routing_key: str
    content: Content
    at: float
    """When it came, by this process's monotonic clock."""


class Held(NamedTuple):
    """A message that is leased and not settled."""

    link: Link
    """The channel that delivered it. Once that is lost, the broker delivers the message again."""
    number: int
    """AMQP's delivery tag, which is valid on that channel only."""
    message_id: str
    since: float
    """When it came, by this process's monotonic clock."""


class QueueKinds(Protocol):
    """The facts of queues that the channel of a worker depends on."""

    def make_known(self, queue: str) -> None:
        """Make sure that a queue exists."""

    def goes_with_its_consumers(self, queue: str) -> bool:
        """Whether the broker deletes a queue, with its messages, once it has had a consumer and has none any more."""

    def has_one_active_consumer(self, queue: str) -> bool:
        """Whether the broker gives the messages of a queue to one of its consumers at a time."""


class ConsumerChannel:
    """The channel of one worker, opened at its first use and again after it was lost.

    Deliveries of a channel are void once it is lost: the broker delivers their messages again.
    """

    def __init__(
        self, connect: Callable[[], Link], kinds: QueueKinds, transactional: bool,
        broken: Callable[[], object] = lambda: None,
    ) -> None:  # fmt: skip
        """``transactional``: whether publications and acks are one transaction; if not, RabbitMQ confirms the
        publications before the acks are sent. ``broken`` is called when the channel is lost."""
        self.lock = threading.RLock()
        self._transactional = transactional
        self._confirms = Confirms()
        self._connect = connect
        self._broken = broken
        self._kinds = kinds
        self._link: Link | None = None
        self._buffer: deque[Arrived] = deque()
        self._known: set[str] = set()
        self._consumers: dict[str, str] = {}
        """By queue, the tag of the consumer that is to get its next message."""
        self._queue_of: dict[str, str] = {}
        self._numbers = count(1)
        self._pushed: dict[int, str] = {}
        """By delivery tag, the consumers of messages that they got and that are not acked."""
        self._left: dict[str, int] = {}
        self._cancelled = False
        """Whether the broker has ended a consumer since the last look: its queue was deleted."""
        self.held: dict[str, Held] = {}
        """By the tag of a lease, its message."""
        self.unregistered: list[tuple[Arrival, Held]] = []
        """Messages that are to be leased."""

    def _ready(self) -> Link:
        if self._link is None:
            link = self._connect()
            if self._transactional:
                link.call(methods.select_transactions(CHANNEL), methods.TX_SELECT_OK)
            else:
                link.call(methods.select_confirms(CHANNEL), methods.CONFIRM_SELECT_OK)
                self._confirms = Confirms()
            link.call(methods.limit_prefetch(CHANNEL, _ONE_BY_ONE), methods.QOS_OK)
            self._link = link
        return self._link

    @property
    def frame_max(self) -> int:
        """The largest frame that the broker takes, in bytes."""
        return self._link.frame_max if self._link is not None else FRAME_MAX

    @property
    def blocked(self) -> str:
        """Why the broker takes no messages now; empty when it does."""
        return self._link.blocked if self._link is not None else ""

    def lose(self, link: Link | None) -> None:
        """The channel is lost: drop the messages that it had delivered."""
        if link is not None:
            link.drop()
            self._broken()
        self._link = None
        for kept in (
            self._buffer,
            self._known,
            self._consumers,
            self._queue_of,
            self._pushed,
            self._left,
            self.held,
            self.unregistered,
        ):
            kept.clear()

    def close(self) -> None:
        """Close the channel; the broker returns the messages that were not acked to their queues."""
        with self.lock:
            if self._link is not None:
                self._link.close()
            self.lose(self._link)

    def still_holds(self, tag: str) -> bool:
        """Ask whether the channel that delivered the message of a lease is still open."""
        with self.lock:
            if tag not in self.held or self._link is None:
                return False
            try:
                self._link.call(methods.limit_prefetch(CHANNEL, _ONE_BY_ONE), methods.QOS_OK)
            except OperationalError:
                self.lose(self._link)
            return tag in self.held

    def beat(self) -> None:
        """Send a heartbeat, unless another thread uses the channel just now."""
        if self._link is None or not self.lock.acquire(blocking=False):
            return
        try:
            if self._link is not None:
                self._link.beat()
                self._take_pushed(self._link)
        except OperationalError:
            self.lose(self._link)
        finally:
            self.lock.release()

    def disinherit(self) -> None:
        """In a forked process: close the copy of the parent's socket."""
        self.lock = threading.RLock()
        self.lose(self._link)

    def _take_other(self, link: Link, event: Event) -> bool:
        match event:
            case Delivered():
                queue = self._queue_of[event.consumer_tag]
                self._pushed[event.tag] = event.consumer_tag
                self._buffer.append(
                    Arrived(
                        link, queue, event.tag, event.redelivered, event.exchange, event.routing_key, event.content,
                        time.monotonic(),
                    )
                )  # fmt: skip
            case OtherMethod(number=methods.CANCEL):
                # The queue was deleted.
                queue = self._queue_of.get(methods.read_consumer(event.arguments), "")
                self._consumers.pop(queue, None)
                self._known.discard(queue)
                self._cancelled = True
            case OtherMethod():
                pass  # the answers to qos, consume and cancel, where nothing waits for them
            case _:
                return False
        return True

    def _make_sure(self, queue: str) -> None:
        if queue not in self._known:
            self._kinds.make_known(queue)
            self._known.add(queue)

    def prepare_wait(self, queues: Sequence[str]) -> Link | None:
        """Have the broker send the next message of each queue. Returns the link to wait at, ``None`` when there is one
        already.

        A consumer gets one message ahead of its ack. Where that message runs, another consumer takes its place.
        """
        with self.lock:
            try:
                link = self._ready()
                if self._buffer or (link.read() and self._take_pushed(link)):
                    return None
                busy = set(self._pushed.values())
                for queue in [queue for queue in self._consumers if queue not in queues]:
                    self._stop_consumer(link, queue)
                for queue in queues:
                    if queue not in self._consumers:
                        self._start_consumer(link, queue)
                    elif self._consumers[queue] in busy:
                        self._replace_consumer(link, queue)
                return None if self._buffer else link
            except OperationalError:
                self.lose(self._link)
                raise

    def _replace_consumer(self, link: Link, queue: str) -> None:
        """Have another consumer get the next message.

        Where only one consumer is active, it stays: another worker would get the next message while this one runs.
        Where the queue would go with its last consumer, the new one comes first.
        """
        if self._kinds.has_one_active_consumer(queue):
            return
        old = self._consumers[queue]
        if not self._kinds.goes_with_its_consumers(queue):
            self._stop_consumer(link, queue)
            self._start_consumer(link, queue)
        else:
            self._start_consumer(link, queue)
            self._cancel(link, old)

    def _stays(self, queue: str) -> bool:
        """Whether the consumer of a queue has to stay although its worker takes nothing now."""
        if self._kinds.goes_with_its_consumers(queue):
            return True
        runs = self._consumers[queue] in {self._pushed.get(held.number) for held in self.held.values()}
        return runs and self._kinds.has_one_active_consumer(queue)

    def _start_consumer(self, link: Link, queue: str) -> None:
        self._make_sure(queue)
        tag = f"canvas.{next(self._numbers)}"
        self._queue_of[tag], self._consumers[queue] = queue, tag
        link.send(methods.consume(CHANNEL, queue, tag, no_wait=True))

    def _stop_consumer(self, link: Link, queue: str) -> None:
        self._cancel(link, self._consumers.pop(queue))

    def _cancel(self, link: Link, tag: str) -> None:
        link.call(methods.cancel(CHANNEL, tag), methods.CANCEL_OK)
        self._take_pushed(link)

    def _take_pushed(self, link: Link) -> bool:
        """Take the events that have been read. Returns whether there are messages."""
        for _ in range(len(link.events)):
            event = link.events.popleft()
            if not self._take_other(link, event):
                link.events.append(event)
        return bool(self._buffer)

    def has_come(self, link: Link) -> bool:
        """Read the frames that have come. Returns whether there are messages, or may be: a queue has to be made
        again."""
        with self.lock:
            if self._link is not link:
                return True
            try:
                link.read()
                came = self._take_pushed(link)
            except OperationalError:
                self.lose(link)
                raise
            cancelled, self._cancelled = self._cancelled, False
            return came or cancelled
