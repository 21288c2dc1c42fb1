"""Makes the queues in which delayed messages wait."""

import threading
import time
from collections.abc import Callable

from canvas.drivers.amqp.delays.delay_queue import DelayQueue, step_of
from canvas.drivers.amqp.topology import Topology

_AVOIDED_FOR = 60.0
"""Seconds for which a quorum queue that took no message is not used. It may have been without a leader for a moment."""


class DelayQueues:
    """Makes the queues as they are needed."""

    def __init__(self, topology: Topology, note: Callable[[str], None]) -> None:
        """``note`` is called with the name of each queue that is made, so that other processes can find it."""
        self._topology = topology
        self._note = note
        self._lock = threading.Lock()
        self._declared: dict[str, float] = {}
        """By name, when a queue was declared here, by this process's monotonic clock."""
        self._avoided: dict[str, float] = {}
        """By the name of a quorum queue that took no message: until when it is not used, by the same clock. If RabbitMQ
        is killed within a second of making a quorum queue, the queue may have no leader from then on."""

    def exchange_for(self, seconds: float, exchange: str, routing_key: str) -> str:
        """The exchange that delays a message on its way to ``exchange``. Raises OperationalError."""
        quorum = not exchange and self._topology.is_quorum(routing_key)
        return self._made(DelayQueue(step_of(seconds), exchange, quorum))

    def instead_of(self, exchange: str) -> str:
        """The exchange to use for messages that RabbitMQ refuses at ``exchange``. If ``exchange`` leads to a delay's
        quorum queue, it is that of the delay's classic queue. Raises OperationalError."""
        queue = DelayQueue.named(exchange)
        if queue is None or not queue.quorum:
            return exchange
        with self._lock:
            self._avoided[queue.name] = time.monotonic() + _AVOIDED_FOR
        return self._made(queue)

    def _made(self, queue: DelayQueue) -> str:
        with self._lock:
            if time.monotonic() < self._avoided.get(queue.name, 0.0):
                queue = queue._replace(quorum=False)
            declared = self._declared.get(queue.name)
        if declared is None or time.monotonic() - declared > queue.renewed_after:
            self.make(queue)
        return queue.name

    def make(self, queue: DelayQueue) -> None:
        """Make a queue, or keep one that exists for longer."""
        now = time.monotonic()
        self._topology.declare_exchange(queue.name, "fanout")
        self._topology.declare_bound(queue.name, queue.arguments)
        with self._lock:
            self._declared[queue.name] = now
        self._note(queue.name)

    def forget(self) -> None:
        """Declare each queue again before its next message, and use the queues that took no messages: the broker was
        away."""
        with self._lock:
            self._declared.clear()
            self._avoided.clear()

    def disinherit(self) -> None:
        """In a forked process: take another lock."""
        self._lock = threading.Lock()
