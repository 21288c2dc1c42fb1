"""How a worker process waits for messages: at the broker itself, or as the child of a node that waits for all its
children (``canvas.worker.consumer.shared_wait``)."""

import os
import select
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from canvas.drivers.ports.broker import Broker
from canvas.worker.monitoring.shared_memory import ProcessStats, SharedMemory

_CHUNK = 4096


class NodeInbox(Protocol):
    """The leases of a process from the prefetched list of its node, whose parent waits for messages."""

    def is_unregistered(self) -> bool:
        """Whether the broker may not know this process, which then must not lease."""

    def register(self) -> bool:
        """Register the process as a worker at the broker. Returns True. Raises BrokerError."""

    def inbox(self) -> str:
        """The worker id for ``Lease.node``."""

    def leased(self, count: int, limit: int) -> None:
        """A lease of up to ``limit`` messages has got ``count``."""

    def siblings_idle(self) -> bool:
        """Whether another process of the node waits for messages, or was just woken for one. This one then takes only
        what it runs at once."""


class Wait(Protocol):
    """The waits of a consumer loop."""

    node_inbox: NodeInbox | None
    """``None`` for a process that waits at the broker itself, and has been registered there since it started."""
    idle_for: float
    """Seconds that the only slot of a process waits at most at once; a signal handler may wait as long."""
    look_every: float
    """Seconds after which an idle process asks for messages although no wait has ended."""

    def wait(self, worker: str, queues: Sequence[str], timeout: float) -> int:
        """See ``Broker.wait``."""

    def interrupt(self) -> None:
        """End a wait in progress, or the next one. Safe from any thread and signal."""

    def end(self, worker: str) -> None:
        """See ``Broker.stop_waiting``."""

    def release_prefetched(self, worker: str) -> None:
        """See ``Broker.release_prefetched``."""

    def outage(self) -> bool:
        """Whether the broker was unreachable during a wait that raised nothing; said once."""


class BrokerWait:
    """Waits at the broker, on connections of this process."""

    node_inbox: NodeInbox | None = None
    idle_for = 0.5
    look_every = 20.0

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self.wait = broker.wait
        self.interrupt = broker.wake
        self.end = broker.stop_waiting

    def release_prefetched(self, worker: str) -> None:
        self._broker.release_prefetched(worker)

    def outage(self) -> bool:
        return False


class ChildWait:
    """A child's end. It sleeps until its parent, which waits at the broker, wakes it; its wait asks nothing of the
    broker, and its process need not be registered there meanwhile.

    The parent calls ``wake`` and ``close``, and siblings ``close``; all else is called in the child.
    """

    idle_for = 5.0
    look_every = float("inf")

    def __init__(self, memory: SharedMemory, row: ProcessStats, node: str, wake_fd: int) -> None:
        """Made before the fork. ``node`` is the worker id whose inbox the parent has messages moved into;
        ``wake_fd``: the parent's pipe, for a child that begins to wait while the parent does not."""
        self._memory = memory
        self._row = row
        self.node = node
        self._wake_fd = wake_fd
        self._pipe = os.pipe()
        for end in self._pipe:
            os.set_blocking(end, False)
        self._poll = select.poll()
        self._poll.register(self._pipe[0], select.POLLIN)
        self._outages = memory.outages
        self._asked = 0
        self.node_inbox: NodeInbox | None = self
        self.registers: Callable[[], float] = lambda: float("inf")
        """Registers the process as a worker. Returns the monotonic time until which the registration holds at least."""

    @property
    def row(self) -> ProcessStats:
        return self._row

    def wake(self) -> None:
        """Wake the child. It no longer counts as waiting."""
        self._row.waits = 0
        _write_wake(self._pipe[1])

    def close(self) -> None:
        """In the parent when the child is gone, and in each of its siblings."""
        for end in self._pipe:
            os.close(end)

    def wait(self, worker: str, queues: Sequence[str], timeout: float) -> int:
        self._row.waits = time.monotonic_ns()
        try:
            if not self._memory.parent_waits:
                _write_wake(self._wake_fd)
            return int(bool(self._poll.poll(timeout * 1000)) and self._drain())
        finally:
            self._row.waits = 0

    def _drain(self) -> bool:
        try:
            return bool(os.read(self._pipe[0], _CHUNK))
        except BlockingIOError:
            return False  # read with an earlier wake-up

    def interrupt(self) -> None:
        _write_wake(self._pipe[1])

    def end(self, worker: str) -> None:
        """The parent ends its own waits."""

    def release_prefetched(self, worker: str) -> None:
        """The parent returns what no child takes."""

    def is_unregistered(self) -> bool:
        return self._row.registered < time.monotonic()

    def register(self) -> bool:
        self._row.registered = self.registers()
        return True

    def inbox(self) -> str:
        memory = self._memory
        self._asked = memory.arrived
        return self.node if self._asked != memory.taken else ""

    def leased(self, count: int, limit: int) -> None:
        # The lease looked into the inbox first, where not more lay than had arrived and was not known to be taken.
        if count < limit or count >= self._asked - self._memory.taken:
            self._row.seen = self._asked

    def siblings_idle(self) -> bool:
        memory = self._memory
        return memory.parent_waits or memory.arrived != memory.taken

    def outage(self) -> bool:
        before, self._outages = self._outages, self._memory.outages
        return before != self._outages


def _write_wake(end: int) -> None:
    try:
        os.write(end, b"x")
    except BlockingIOError:
        return  # the pipe is full of wake-ups already
    except BrokenPipeError:
        return  # the other process is gone; who watches it finds that out
