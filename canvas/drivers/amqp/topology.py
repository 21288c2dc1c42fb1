"""Queues and exchanges: declares them as Celery does, and asks how long queues are."""

import re
import threading
import warnings
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from amqp import Message
from amqp.exceptions import AMQPError, NotFound, PreconditionFailed

from canvas.drivers.amqp.channels.connecting import close, errors
from canvas.drivers.silence import reported
from canvas.errors import EncodeError, OperationalError, RefusedError
from canvas.interruptions import interruption
from canvas.model.queue import Exchange, Queue

T = TypeVar("T")
_STREAM = "'stream'"
"""In RabbitMQ's answer to the declaration, as a queue of another type, of a stream that exists."""
_SURELY_TAKEN = 1 << 20
"""Bytes of a message that every broker is taken to accept."""
_MOST_BYTES = re.compile(r"larger than (?:configured )?max size (\d+)")
"""In RabbitMQ's answer to a message that is too large."""
_NOWHERE = "canvas.nowhere"
"""A routing key without a queue: messages that are sent there are dropped."""
_MOST_DELIVERIES = 10
"""RabbitMQ 4 drops a message at its 21st delivery, unless its queue has another limit."""


class Topology:
    """Declarations on a connection of their own, because a declaration that fails closes its channel."""

    def __init__(self, connect: Callable[[], Any], where: str) -> None:
        """``connect`` opens a py-amqp connection."""
        self._connect = connect
        self._where = where
        self._lock = threading.RLock()
        self._connection: Any = None
        self._channel: Any = None
        self._declared: set[tuple[str, str, str]] = set()
        self._exchanges: set[str] = {""}
        self._queues: dict[str, Queue] = {}
        """By name, the queues that were declared."""
        self._taken, self._most = _SURELY_TAKEN, float("inf")
        """Bytes of a message that the broker takes, as far as they are known, and those beyond which it takes none."""

    def declare(self, queues: Sequence[Queue], again: bool = False) -> None:
        """Make each queue, its exchange and the binding between them; nothing, where this object did it before, unless
        ``again``."""
        for queue in map(Queue.filled, queues):
            key = (queue.name, queue.exchange, queue.routing_key)
            if again or key not in self._declared:
                self._declare(queue)
                self._declared.add(key)

    def _declare(self, queue: Queue) -> None:
        self._queues[queue.name] = queue
        if queue.declaration.no_declare:
            return
        ways = queue.ways()
        for way in ways:
            self._make_exchange(way.exchange)
        self._make_queue(queue)
        for way in ways:
            self.bind(queue.name, way.exchange.name, way.routing_key, way.arguments)

    def _make_queue(self, queue: Queue) -> None:
        """Make a queue; one that exists with other arguments stays as it is.

        One that is exclusive is made as one that others may use: clients and workers have connections of their own.
        """
        about = queue.declaration
        try:
            self.call(
                lambda channel: channel.queue_declare(
                    queue.name, durable=about.durable, auto_delete=about.auto_delete, arguments=queue.arguments
                )
            )
        except _Differs as exc:
            if _STREAM in str(exc):
                self._queues[queue.name] = queue._replace(arguments={"x-queue-type": "stream"})
                return
            warnings.warn(
                f"queue {queue.name!r} exists with other arguments, and is used as it is: {exc}", stacklevel=2
            )

    def declare_exchange(self, name: str, kind: str, durable: bool = True) -> None:
        """Make an exchange; one that exists with other arguments stays as it is."""
        self._make_exchange(Exchange(name, kind, durable))

    def _make_exchange(self, wanted: Exchange) -> None:
        name, kind, durable, auto_delete, arguments, no_declare = wanted
        if name in self._exchanges or no_declare:
            return
        try:
            self.call(
                lambda channel: channel.exchange_declare(
                    name, type=kind, durable=durable, auto_delete=auto_delete, arguments=arguments
                )
            )
        except _Differs as exc:
            warnings.warn(f"exchange {name!r} exists with other arguments, and is used as it is: {exc}", stacklevel=2)
        self._exchanges.add(name)

    def declare_bound(self, name: str, arguments: dict[str, Any], routing_key: str = "") -> None:
        """Make a queue of this name with these arguments, bound to the exchange of this name."""
        self._make_queue(Queue(name, arguments=arguments))
        self.bind(name, name, routing_key)

    def bind(self, queue: str, exchange: str, routing_key: str, arguments: dict[str, Any] | None = None) -> None:
        """Bind a queue to an exchange."""
        self.call(lambda channel: channel.queue_bind(queue, exchange, routing_key, arguments=arguments))

    def bind_exchange(self, target: str, exchange: str, routing_key: str) -> None:
        """Have an exchange send messages on to another one, ``target``."""
        self.call(lambda channel: channel.exchange_bind(target, exchange, routing_key))

    def is_quorum(self, queue: str) -> bool:
        """Whether a queue was declared here as a quorum queue."""
        return bool(self._type(queue) == "quorum")

    def refuse_streams(self, queues: Sequence[Queue]) -> None:
        """Raise RefusedError for a queue that is a stream, after its declaration here: no worker can take its
        messages."""
        for queue in queues:
            if self._type(queue.name) == "stream":
                raise RefusedError(
                    f"{self._where}: queue {queue.name!r} is a stream, which keeps its messages after their ack: no "
                    "worker of canvas takes tasks from it; give it the x-queue-type classic or quorum"
                )

    def _type(self, queue: str) -> Any:
        return self._argument(queue, "x-queue-type")

    def _argument(self, queue: str, name: str) -> Any:
        known = self._queues.get(queue)
        return None if known is None else (known.arguments or {}).get(name)

    def goes_with_its_consumers(self, queue: str) -> bool:
        """Whether the broker deletes a queue, with its messages, once it has had a consumer and has none any more."""
        known = self._queues.get(queue)
        return known is not None and known.declaration.auto_delete

    def has_one_active_consumer(self, queue: str) -> bool:
        """Whether the broker gives the messages of a queue to one of its consumers at a time."""
        return self._argument(queue, "x-single-active-consumer") is True

    def most_deliveries(self, queue: str) -> int:
        """The deliveries of a message after which it has to be put into a queue again: RabbitMQ drops it after a few
        more."""
        limit = self._argument(queue, "x-delivery-limit")
        return max(1, min(_MOST_DELIVERIES, limit - 1)) if isinstance(limit, int) else _MOST_DELIVERIES

    def forget_exchanges(self) -> None:
        """Look for exchanges again before they are used."""
        self._exchanges = {""}

    def has_exchange(self, name: str) -> bool:
        """Whether an exchange exists. The broker closes the channel of a message to an exchange that does not."""
        if name in self._exchanges:
            return True
        try:
            self.call(lambda channel: channel.exchange_declare(name, type="direct", passive=True))
        except _Missing:
            return False
        self._exchanges.add(name)
        return True

    def make_known(self, queue: str) -> None:
        """Make sure that a queue exists, by default with the arguments that it was declared with here."""
        if self.length(queue) is None:
            self.make_again(queue)

    def make_again(self, queue: str) -> bool:
        """Make a queue that is gone, as it was declared here. Returns whether this program may make it."""
        known = self._queues.get(queue) or Queue(queue)
        self.declare([known], again=True)
        return not known.declaration.no_declare

    def check_size(self, size: int) -> None:
        """Raise EncodeError for the body of a message that is larger than the broker takes. The broker reports its
        limit only when it refuses a message and closes the channel: a message for no queue is sent to find it out."""
        if self._taken < size < self._most == float("inf"):
            self._ask_for(1 << (size - 1).bit_length())
        if size > self._most:
            raise EncodeError(
                f"a message of {size} bytes is larger than RabbitMQ's max_message_size, {self._most:.0f}: raise that, "
                "or keep the data elsewhere and send where it is"
            )

    def _ask_for(self, size: int) -> None:
        def send(channel: Any) -> None:
            channel.basic_publish(Message(bytes(size)), "", _NOWHERE)
            channel.basic_qos(0, 0, False)  # is answered after the message

        try:
            self.call(send)
        except _Differs as exc:
            found = _MOST_BYTES.search(str(exc))
            if found is None:
                raise
            self._most = int(found[1])
        else:
            self._taken = size

    def length(self, queue: str) -> int | None:
        """Messages that no worker holds; ``None`` when there is no such queue."""
        try:
            found = self.call(lambda channel: channel.queue_declare(queue, passive=True))
        except _Missing:
            return None
        return int(found.message_count)

    def purge(self, queue: str) -> int:
        """Delete the messages that no worker holds. Returns how many."""
        try:
            return int(self.call(lambda channel: channel.queue_purge(queue)))
        except _Missing:
            return 0

    def check(self) -> None:
        """Raise OperationalError or RefusedError when the broker cannot be used."""
        self.call(lambda channel: channel.basic_qos(0, 0, False))

    def call(self, call: Callable[[Any], T]) -> T:
        """Make a call on the channel, again on another connection where an older one was lost."""
        with self._lock, errors(self._where), reported(self._where):
            fresh = self._channel is None
            try:
                return self._called(call)
            except (OSError, AMQPError) as exc:
                if interruption(exc) is not None:
                    self._drop()
                    raise
                self.close()
                if fresh or _refused(exc):
                    raise
            return self._called(call)

    def _called(self, call: Callable[[Any], T]) -> T:
        try:
            if self._channel is None:
                if self._connection is None:
                    self._connection = self._connect()
                self._channel = self._connection.channel()
            return call(self._channel)
        except NotFound as exc:
            self._channel = None
            raise _Missing(exc.reply_text) from None
        except PreconditionFailed as exc:
            self._channel = None
            raise _Differs(exc.reply_text) from None
        except (OSError, AMQPError):
            raise
        except BaseException:
            # An exception of a signal's handler. The next call would take the answer to this one for its own.
            self._drop()
            raise

    def close(self) -> None:
        """Close the connection. Using the object again opens another."""
        with self._lock:
            connection, self._connection, self._channel = self._connection, None, None
            if connection is not None:
                close(connection)

    def forget(self) -> None:
        """In a forked process: close the copy of the parent's socket without a word to the broker."""
        self._lock = threading.RLock()
        self._drop()

    def _drop(self) -> None:
        """Close the socket without a word to the broker."""
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None and connection.transport is not None:
            connection.transport.sock.close()
            connection.transport.connected = False


class _Missing(OperationalError):
    """There is no queue or exchange of that name."""


class _Differs(OperationalError):
    """A queue or exchange of that name has other arguments."""


def _refused(exc: Exception) -> bool:
    return getattr(exc, "reply_code", None) in (403, 405)
