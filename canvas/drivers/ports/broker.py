"""Queues of messages and the leases on them; with the other ports of a broker in one."""

from collections.abc import Sequence
from typing import Protocol

from canvas.drivers.ports.admin import Admin
from canvas.drivers.ports.bus import Bus
from canvas.drivers.ports.coordination import Coordination
from canvas.drivers.ports.recovery import Recovery
from canvas.drivers.ports.values import Binding, Lease
from canvas.drivers.retry_policy import Delays
from canvas.model.message import Delivery, Publish


class Broker(Bus, Admin, Coordination, Recovery, Protocol):
    """Queues of messages, leases on them, and the workers that hold those."""

    takes_turns: bool
    """Whether a worker leases from its queues in turn, or from the first that has messages."""

    def declare(self, bindings: Sequence[Binding]) -> None:
        """Make each queue reachable through its exchange. Idempotent."""

    def publish(self, messages: Sequence[Publish], delays: Delays = None) -> None:
        """Append messages to their queues, in order within a queue, and once, however often that is tried.

        A message to a named exchange goes to every queue whose binding matches; to none, silently, where no
        binding does (as kombu).
        """

    async def apublish(self, messages: Sequence[Publish], delays: Delays = None) -> None: ...

    def lease(self, request: Lease) -> list[Delivery]:
        """Move up to ``limit`` messages from the queues under this worker's lease; atomic, never blocks."""

    def wait(self, worker: str, queues: Sequence[str], timeout: float) -> int:
        """Block until one of the queues has something to lease, ``interrupt`` is called, or the time (seconds)
        is over. Returns how many messages it moved aside; where it was interrupted, or moves none, 1 when a lease is
        worth trying, else 0. Never leaves a message in memory only."""

    def wake(self) -> None:
        """Make a ``wait`` in progress, or the next one, return at once. Safe from any thread and signal."""

    def release(self, deliveries: Sequence[Delivery]) -> int:
        """Return what has not started to the head of its queue, in order, leases and what was acked ahead of its turn;
        how many were still held."""

    def stop_waiting(self, worker: str) -> None:
        """Move nothing aside any more for this worker until it waits again, and return what was."""

    def release_prefetched(self, worker: str) -> int:
        """Return what ``wait`` moved aside for this worker and nobody has leased; how many."""

    def enqueue_due(self, limit: int) -> int:
        """Move deferred messages that are due into their queues; how many. One that its queue does not take is a dead
        letter then."""

    def next_due(self) -> float | None:
        """Seconds until the next deferred message is due (0 or less: now); ``None`` when there is none."""

    @property
    def clock_offset(self) -> float:
        """Seconds by which the server's clock was ahead of this machine's when this broker last leased; 0 where they
        agree."""

    def close(self) -> None:
        """Release connections. Using the driver again reconnects."""
