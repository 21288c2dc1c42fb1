"""Queues of messages and the leases on them."""

from collections.abc import Sequence
from typing import Protocol

from canvas.drivers.ports.codec import MessageCodec
from canvas.drivers.ports.values import Lease, LeaseReply
from canvas.drivers.retry_policy import Delays
from canvas.errors import OperationalError
from canvas.model.message import Delivery, Publish
from canvas.model.queue import Queue
from canvas.model.settlement import DelayedPublish, Settlement, SettleResult


class Broker(Protocol):
    """Queues of messages, leases on them, and the workers that hold those."""

    codec: MessageCodec
    """The form of its messages: ``payload`` in publications, deliveries, dead letters, broadcasts and replies."""
    round_robin: bool
    """Whether a worker leases from its queues in turn, or from the first that has messages."""
    shares_waits: bool
    """Whether another process may lease the messages that a ``wait`` has moved aside."""

    def check(self) -> None:
        """Return when the broker answers. Raises OperationalError when it does not, RefusedError when it refuses this
        client."""

    def declare(self, queues: Sequence[Queue]) -> None:
        """Make each queue, and make it reachable through its exchange. Idempotent, and cheap when repeated."""

    def publish(self, messages: Sequence[Publish], delays: Delays = None) -> None:
        """Append messages to their queues, in order within a queue. A call that is tried again appends none twice.

        A message to a named exchange goes to every queue whose binding matches. If no binding matches, it is dropped
        without an error, as in kombu. The message's own ``queue`` is bound to its exchange first.
        """

    async def apublish(self, messages: Sequence[Publish], delays: Delays = None) -> None: ...

    def lease(self, request: Lease) -> list[Delivery]:
        """Lease up to ``limit`` messages of the queues to a worker, in one atomic step. It never blocks."""

    def wait(self, worker: str, queues: Sequence[str], timeout: float) -> int:
        """Block until one of the queues has a message to lease, ``wake`` is called, or ``timeout`` seconds have passed.

        Returns the number of messages that it moved aside for the worker. A broker that moves none, and a call that
        was interrupted, return 1 if a lease may succeed, else 0. No message is ever in memory only."""

    def wake(self) -> None:
        """Make a ``wait`` in progress, or the next one, return at once. Safe from any thread and signal."""

    def release(self, deliveries: Sequence[Delivery]) -> int:
        """Return messages that have not started to the head of their queue, in order, also those that were acked early.
        Returns the number of those that were still held."""

    def stop_waiting(self, worker: str) -> None:
        """Move nothing aside for this worker until it waits again, and return the messages that were moved."""

    def release_prefetched(self, worker: str) -> int:
        """Return the messages that ``wait`` moved aside for this worker, and that are not leased, to their queues.
        Returns their number."""

    def enqueue_due(self, limit: int) -> int:
        """Move up to ``limit`` delayed messages that are due into their queues. Returns the number of those moved. A
        message that its queue refuses becomes a dead letter. A broker may hold back, for a moment, messages for a queue
        that has many: they stay delayed, and due."""

    def next_due(self) -> float | None:
        """Seconds until the next delayed message is due (0 or less: now); ``None`` when there is none."""

    def close(self) -> None:
        """Release connections. Using the driver again reconnects."""


class OneServerAway(OperationalError):
    """One of several servers does not answer, and others do."""


class BrokerHalf(Protocol):
    """The broker's half of a settlement in two steps."""

    def publish(self, messages: Sequence[Publish], delays: Delays = None) -> None:
        """See ``Broker``."""

    def fences(self, settlements: Sequence[Settlement]) -> Sequence[bool | None]:
        """Of which settlements the fence holds now. ``None``: the server that knows is away while others answer."""

    def settle(self, settlements: Sequence[Settlement], lease: Lease | None) -> tuple[list[SettleResult], LeaseReply]:
        """Messages, delayed messages and the disposal of each settlement, whole or not at all; then a lease.
        Verdicts on settlements of a server that is away while others answer are ``unsettled``."""

    def publish_once(self, guard: str, publishes: Sequence[Publish], deferrals: Sequence[DelayedPublish]) -> bool:
        """Send messages unless that guard was used before. Raises RefusedError, and OneServerAway where others
        answer."""


class StepBroker(Broker, BrokerHalf, Protocol):
    """A broker that keeps its leases itself: it commits the broker's half of a settlement in two steps."""
