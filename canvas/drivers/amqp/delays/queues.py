"""Makes the queues in which delayed messages wait."""

import threading
import time
from collections.abc import Callable

from canvas.drivers.amqp.delays.names import DelayQueue, step_of
from canvas.drivers.amqp.topology import Topology


class DelayQueues:
    """Makes the queues as they are needed."""

    def __init__(self, topology: Topology, note: Callable[[str], None]) -> None:
        """``note`` is called with the name of each queue that is made, so that other processes can find it."""
        self._topology = topology
        self._note = note
        self._lock = threading.Lock()
        self._declared: dict[str, float] = {}
        """By name, when a queue was declared here, by this process's monotonic clock."""

    def exchange_for(self, seconds: float, exchange: str, routing_key: str) -> str:
        """The exchange that delays a message on its way to ``exchange``. Raises OperationalError."""
        quorum = not exchange and self._topology.is_quorum(routing_key)
        queue = DelayQueue(step_of(seconds), exchange, quorum)
        with self._lock:
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
        """Make each queue anew before its next message: the broker may have lost it."""
        with self._lock:
            self._declared.clear()

    def disinherit(self) -> None:
        """In a forked process: take another lock."""
        self._lock = threading.Lock()
