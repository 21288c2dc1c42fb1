"""One wait at the broker for all children of a prefork node (docs/decisions/0010)."""

import os
import select
import threading
import time
from collections.abc import Sequence

from canvas.drivers.ports import Driver
from canvas.errors import BrokerError
from canvas.execution.background import BackgroundService, Repeated
from canvas.telemetry import emit
from canvas.worker.consumer.wait import ChildWait
from canvas.worker.monitoring.shared_memory import ProcessStats, SharedMemory

_LOOKS_EVERY = 60.0
_TAKEN_WITHIN = 0.05
"""Seconds after which another child is woken for a message that the first has not leased."""
_BUSY_FOR = 0.2
"""Seconds without a waiting child after which the broker moves nothing aside for this node."""
_AGAIN_AFTER = 0.5
_CHANGED_WITHIN = 2.0
_LEAVES_WITHIN = 5.0
_CHUNK = 4096


class SharedWait:
    """Waits at the broker while a child of the node has nothing to do, and wakes one child for each message.

    A message is moved, inside the broker, from its queue into the node's inbox, and leased from there by the child. The
    parent handles no message itself.
    """

    def __init__(self, driver: Driver, memory: SharedMemory, worker: str, queues: list[str], ttl: float) -> None:
        """``worker``: the id that owns the inbox; ``queues`` may change; ``ttl``: of a heartbeat, seconds."""
        step = Repeated("shared wait", self._step, _AGAIN_AFTER, self._cut)
        self._service = BackgroundService("shared-wait", step, last=self._leave)
        self.worker = worker
        self.forking = threading.Lock()
        """Held over a fork: no connection is half open then, which a child could not close."""
        self._broker = driver.broker
        self._recovery = driver.recovery
        self._memory = memory
        self._queues = queues
        self._ttl = ttl
        self._children: list[ChildWait] = []
        self._lock = threading.Lock()
        self._wake_pipe = os.pipe()
        for end in self._wake_pipe:
            os.set_blocking(end, False)
        self._poll = select.poll()
        self._poll.register(self._wake_pipe[0], select.POLLIN)
        self._woken_at = 0.0
        self._registered = False
        self._cut_off = False
        self._stopped_waiting = True
        self._stopping = False
        self._changed: list[threading.Event] = []

    def enlist(self, row: ProcessStats) -> ChildWait:
        """The end of a child that is about to be forked."""
        child = ChildWait(self._memory, row, self.worker, self._wake_pipe[1])
        with self._lock:
            self._children.append(child)
        return child

    def discharge(self, row: ProcessStats) -> None:
        """The child of this row is gone."""
        with self._lock:
            for child in [child for child in self._children if child.row is row]:
                self._note_taken()
                self._children.remove(child)
                child.close()

    def stay_out(self, own: ChildWait) -> None:
        """In a forked child: close what belongs to its siblings. The driver has closed its parent's connections."""
        for child in self._children:
            if child is not own:
                child.close()

    def consume(self) -> None:
        """The queues have changed; returns when the broker waits for the others no more, or when that takes long."""
        if not self._service.is_alive():
            return
        done = threading.Event()
        self._changed.append(done)
        self._wake()
        done.wait(_CHANGED_WITHIN)

    def ask_stop(self) -> None:
        """Have nothing more moved aside. Safe in signal handlers."""
        self._stopping = True
        self._wake()

    def close(self) -> None:
        """Stop, and leave the broker; not for longer than some seconds."""
        self.ask_stop()
        self._service.stop(within=_LEAVES_WITHIN)

    def _wake(self) -> None:
        self._broker.wake()
        try:
            os.write(self._wake_pipe[1], b"x")
        except BlockingIOError:
            return  # the pipe is full of wake-ups already

    def start(self) -> None:
        """Start, unless each child waits at the broker itself, because no process can lease what another waited for."""
        if self._broker.shares_waits:
            self._service.start()

    def is_alive(self) -> bool:
        return self._service.is_alive()

    def _leave(self) -> None:
        """Return what the node's inbox holds."""
        self._memory.parent_waits = False
        try:
            # Also during an outage: the broker may have kept the registration, and messages in the inbox.
            self._recovery.unregister(self.worker)
        except BrokerError as exc:
            emit("broker.unreachable", error=str(exc))

    def _step(self) -> float:
        """Wait, and wake children. Returns the seconds until the next step."""
        if self._stopping:
            self._service.stop()
            return 0.0
        if not self._registered:
            self._recovery.heartbeat(self.worker, self._queues, self._ttl)
            self._registered = True
        self._apply_changes()
        pending = self._note_taken() < self._memory.arrived
        if pending and time.monotonic() - self._woken_at >= _TAKEN_WITHIN:
            self._wake_one()
        if not self._waiting():
            self._without_waiting(pending)
            return 0.0
        self._memory.parent_waits, self._stopped_waiting = True, False
        with self.forking:
            self._broker.wait(self.worker, self._queues, 0)
        if self._cut_off:
            self._recovered()
            return 0.0
        moved = self._broker.wait(self.worker, self._queues, _TAKEN_WITHIN if pending else _LOOKS_EVERY)
        if moved and not (self._stopping or self._changed):
            self._memory.arrived += moved
            for _ in range(moved):
                self._wake_one()
        return 0.0

    def _waiting(self) -> Sequence[ChildWait]:
        return [child for child in self._children if child.row.waits]

    def _wake_one(self) -> None:
        """Wake the child that began to wait last: it has most in its caches, and its connection open."""
        with self._lock:
            child = max(self._waiting(), key=lambda child: child.row.waits, default=None)
            if child is not None:
                self._woken_at = time.monotonic()
                child.wake()

    def _note_taken(self) -> int:
        """Read from the children's rows what is no longer in the inbox."""
        memory = self._memory
        taken = max((child.row.seen for child in list(self._children)), default=0)
        memory.taken = max(memory.taken, taken)
        return memory.taken

    def _without_waiting(self, pending: bool) -> None:
        """All children have work. One that ends its task looks into the inbox; after a while its messages go back to
        their queues, for others."""
        self._memory.parent_waits = False
        if self._waiting():
            return  # it began to wait before it could know that it has to wake this thread
        if self._stopped_waiting and not pending:
            self._listen(_LOOKS_EVERY)
        elif not self._listen(_BUSY_FOR):
            self._broker.stop_waiting(self.worker)
            self._memory.taken = self._memory.arrived
            self._stopped_waiting = True

    def _listen(self, seconds: float) -> bool:
        """Wait until a child begins to wait, or until the time is over."""
        if not self._poll.poll(seconds * 1000):
            return False
        os.read(self._wake_pipe[0], _CHUNK)
        return True

    def _apply_changes(self) -> None:
        changed, self._changed = self._changed, []
        if changed:
            self._broker.stop_waiting(self.worker)
            self._memory.taken = self._memory.arrived
            self._registered = False  # with its new queues, at the next step
        for done in changed:
            done.set()

    def _cut(self) -> None:
        """The broker is unreachable."""
        self._memory.parent_waits = self._registered = False
        self._cut_off = True

    def _recovered(self) -> None:
        """The broker answers again, perhaps as a copy that has forgotten something: every idle child compares what it
        holds, and what a lost connection may have moved goes back."""
        self._broker.release_prefetched(self.worker)
        self._cut_off = False
        self._memory.outages += 1
        with self._lock:
            for child in self._waiting():
                child.wake()
