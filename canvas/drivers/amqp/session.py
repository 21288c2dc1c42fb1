"""A worker's channel: it takes messages from queues, and commits publications and acks in transactions."""

import select
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import count
from typing import NamedTuple

from canvas.drivers.amqp import methods
from canvas.drivers.amqp.frames import (
    Committed,
    Content,
    Delivered,
    Event,
    Got,
    OtherMethod,
    Returned,
    ack,
    commit,
    nack,
)
from canvas.drivers.amqp.link import CHANNEL, Link
from canvas.drivers.ports.message_state import Arrival
from canvas.errors import OperationalError

_ONE_BY_ONE = 1
"""Messages that the broker sends to a consumer ahead of their acks. A worker asks for more as it needs them."""
_AT_ONCE = 256


class Arrived(NamedTuple):
    """A message that the broker has delivered on a session."""

    queue: str
    number: int
    """Its delivery tag: AMQP's, of this channel."""
    redelivered: bool
    exchange: str
    routing_key: str
    content: Content
    at: float
    """When it came, by this process's monotonic clock."""


class Held(NamedTuple):
    """A message that is leased and not settled."""

    number: int
    """Its delivery tag: AMQP's, of this channel."""
    message_id: str


class Session:
    """The channel of one worker, opened at its first use and again after it was lost.

    Whatever the channel had delivered is void once it is lost: the broker delivers it again.
    """

    def __init__(self, connect: Callable[[], Link], make_known: Callable[[str], None]) -> None:
        """``make_known`` makes sure that a queue exists."""
        self.lock = threading.RLock()
        self._connect = connect
        self._make_known = make_known
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
        self.held: dict[str, Held] = {}
        """By the tag of a lease, its message."""
        self.unregistered: list[tuple[Arrival, int]] = []
        """Messages that are to be leased, and their delivery tags."""

    # -- the channel

    def _ready(self) -> Link:
        if self._link is None:
            link = self._connect()
            link.call(methods.select_transactions(CHANNEL), methods.TX_SELECT_OK)
            link.call(methods.limit_prefetch(CHANNEL, _ONE_BY_ONE), methods.QOS_OK)
            self._link = link
        return self._link

    @property
    def blocked(self) -> str:
        """Why the broker takes no messages now; empty when it does."""
        return self._link.blocked if self._link is not None else ""

    def lose(self, link: Link | None) -> None:
        """The channel is lost: forget what it had delivered."""
        if link is not None:
            link.drop()
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
        """Close the channel; the broker returns what it had delivered and was not acked."""
        with self.lock:
            if self._link is not None:
                self._link.close()
            self.lose(self._link)

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

    # -- exchanges

    def exchange(
        self, publications: Sequence[bytes], acks: Sequence[int], nacks: Sequence[int], queues: Sequence[str], want: int
    ) -> tuple[list[Returned], list[Arrived]]:
        """Commit publications, acks and nacks, all or none, and take up to ``want`` messages from the queues in their
        order. Returns the publications that no queue took, and the messages. Raises OperationalError."""
        with self.lock:
            try:
                return self._exchange(self._ready(), publications, acks, nacks, queues, want)
            except OperationalError:
                self.lose(self._link)
                raise

    def _exchange(
        self, link: Link, publications: Sequence[bytes], acks: Sequence[int], nacks: Sequence[int],
        queues: Sequence[str], want: int,
    ) -> tuple[list[Returned], list[Arrived]]:  # fmt: skip
        frames = [*publications, *(ack(CHANNEL, number) for number in acks)]
        frames += [nack(CHANNEL, number) for number in nacks]
        if frames:
            frames.append(commit(CHANNEL))
        returned: list[Returned] = []
        arrived = [self._buffer.popleft() for _ in range(min(want, len(self._buffer)))]
        found, wanted = len(arrived), want - len(arrived)
        if found and not frames:
            return returned, arrived
        for queue in queues if wanted else ():
            self._make_sure(queue)
        for queue in queues if wanted else ():
            while wanted > 0:
                asked = min(wanted, max(1, self._left.get(queue, 0)), _AT_ONCE)
                link.send(b"".join([*frames, methods.get(CHANNEL, queue) * asked]))
                got = self._receive(link, bool(frames), queue, asked, returned)
                frames = []
                arrived += got
                wanted -= len(got)
                if len(got) < asked or not self._left.get(queue):
                    break
        if frames:
            link.send(b"".join(frames))
            self._receive(link, True, "", 0, returned)
        for number in (*acks, *nacks):
            self._pushed.pop(number, None)
        return returned, arrived

    def _receive(self, link: Link, committing: bool, queue: str, asked: int, returned: list[Returned]) -> list[Arrived]:
        """The answers to a commit and to requests for messages of a queue."""
        got: list[Arrived] = []
        now = time.monotonic()
        answers, committed = 0, not committing

        def take(event: Event) -> bool:
            nonlocal answers, committed
            match event:
                case Got(_, left, number, redelivered, exchange, routing_key, content):
                    self._left[queue] = left
                    got.append(Arrived(queue, number, redelivered, exchange, routing_key, content, now))
                    answers += 1
                case OtherMethod(number=methods.GET_EMPTY):
                    self._left[queue] = 0
                    answers += 1
                case Committed():
                    committed = True
                case Returned():
                    returned.append(event)
                case _:
                    return self._take_other(event)
            return True

        link.take_until(take, lambda: committed and answers >= asked)
        return got

    def _take_other(self, event: Event) -> bool:
        match event:
            case Delivered():
                queue = self._queue_of[event.consumer_tag]
                self._pushed[event.tag] = event.consumer_tag
                self._buffer.append(
                    Arrived(
                        queue, event.tag, event.redelivered, event.exchange, event.routing_key, event.content,
                        time.monotonic(),
                    )
                )  # fmt: skip
            case OtherMethod(number=methods.CANCEL):
                # The queue was deleted.
                queue = self._queue_of.get(methods.read_consumer(event.arguments), "")
                self._consumers.pop(queue, None)
                self._known.discard(queue)
            case OtherMethod():
                pass  # the answers to qos, consume and cancel, where nothing waits for them
            case _:
                return False
        return True

    def _make_sure(self, queue: str) -> None:
        if queue not in self._known:
            self._make_known(queue)
            self._known.add(queue)

    # -- waiting

    def prepare_wait(self, queues: Sequence[str]) -> Link | None:
        """Have the broker send the next message of each queue; the link to wait at, ``None`` when there is one already.

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
                    if self._consumers.get(queue) in busy:
                        self._stop_consumer(link, queue)
                    if queue not in self._consumers:
                        self._start_consumer(link, queue)
                return None if self._buffer else link
            except OperationalError:
                self.lose(self._link)
                raise

    def _start_consumer(self, link: Link, queue: str) -> None:
        self._make_sure(queue)
        tag = f"canvas.{next(self._numbers)}"
        self._queue_of[tag], self._consumers[queue] = queue, tag
        link.send(methods.consume(CHANNEL, queue, tag, no_wait=True))

    def _stop_consumer(self, link: Link, queue: str) -> None:
        link.call(methods.cancel(CHANNEL, self._consumers.pop(queue)), methods.CANCEL_OK)
        self._take_pushed(link)

    def _take_pushed(self, link: Link) -> bool:
        """Take what has been read; whether there are messages."""
        for _ in range(len(link.events)):
            event = link.events.popleft()
            if not self._take_other(event):
                link.events.append(event)
        return bool(self._buffer)

    def has_come(self, link: Link) -> bool:
        """Read what has come; whether there are messages."""
        with self.lock:
            if self._link is not link:
                return True
            try:
                link.read()
                return self._take_pushed(link)
            except OperationalError:
                self.lose(link)
                raise

    def return_held(self, tags: Sequence[str]) -> None:
        """Return the messages of these leases to their queues, as far as they are held on this channel."""
        with self.lock:
            numbers = [self.held.pop(tag).number for tag in tags if tag in self.held]
            if numbers:
                try:
                    self.exchange((), (), numbers, (), 0)
                except OperationalError:
                    return  # the broker returns them itself

    def return_all(self) -> None:
        """Return everything that this channel holds."""
        with self.lock:
            try:
                self.return_buffered()
            except OperationalError:
                return  # the broker returns them itself
            self.return_held(list(self.held))

    def disinherit(self) -> None:
        """In a forked process: close the copy of the parent's socket."""
        self.lock = threading.RLock()
        self.lose(self._link)

    def return_buffered(self) -> int:
        """Stop the consumers, and return to their queues what they got and was not leased; how many."""
        with self.lock:
            if self._link is None or not (self._consumers or self._buffer):
                return 0
            try:
                for queue in list(self._consumers):
                    self._stop_consumer(self._link, queue)
                numbers = [self._buffer.popleft().number for _ in range(len(self._buffer))]
                if numbers:
                    self._exchange(self._link, (), (), numbers, (), 0)
                return len(numbers)
            except OperationalError:
                self.lose(self._link)
                raise


def readable(link: Link, wake: int, seconds: float) -> None:
    """Wait until the broker has sent something, ``wake`` can be read, or so many seconds have passed."""
    poll = select.poll()
    try:
        poll.register(link.fileno(), select.POLLIN)
        poll.register(wake, select.POLLIN)
        poll.poll(max(0.0, seconds) * 1000)
    except (OSError, ValueError):
        return  # the link was lost to another thread, which its next use reports
