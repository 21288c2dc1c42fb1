"""When a child process has done enough: after so many tasks, or above so much memory."""

import os
from pathlib import Path

from canvas.telemetry import emit
from canvas.worker.consumer.loop import ConsumerLoop

_STATM = Path("/proc/self/statm")


class RecycleLimits:
    """The limits of one child. It leases no message that it will not run."""

    def __init__(self, max_tasks: int | None, max_memory: int | None, limit: int) -> None:
        """``max_memory`` in KiB of resident memory; ``None`` and 0 are no limit. ``limit``: the messages that a child
        holds beyond those that run, at most."""
        self._max_tasks = max_tasks
        self._max_memory = max_memory
        self._limit = limit
        self._worn = False
        self.any = bool(max_tasks or max_memory)
        """Whether there is a limit at all."""

    def prefetch(self, begun: int) -> int:
        """How many messages the child may hold beyond those that run, when it has begun so many tasks."""
        return max(0, min(self._limit, self._max_tasks - begun - 1)) if self._max_tasks else self._limit

    def after_task(self, begun: int, exchange: ConsumerLoop) -> None:
        """Take no more messages than the child will run, and stop it when it has reached a limit."""
        exchange.limit_prefetch(self.prefetch(begun))
        why = None if self._worn else self._why(begun)
        if why is not None:
            self._worn = True
            emit("worker.child_recycled", pid=os.getpid(), why=why)
            exchange.stop()

    def _why(self, begun: int) -> str | None:
        """Why the process is to be replaced, or ``None``."""
        if self._max_tasks and begun >= self._max_tasks:
            return f"it has run {begun} tasks (worker_max_tasks_per_child)"
        if self._max_memory:
            used = resident_memory()
            if used > self._max_memory:
                return f"it uses {used:,} KiB, more than worker_max_memory_per_child ({self._max_memory:,})"
        return None


def resident_memory() -> int:
    """Memory of this process now, KiB; where the system does not tell, the most it ever was."""
    import resource

    try:
        pages = int(_STATM.read_text(encoding="ascii").split()[1])
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return pages * resource.getpagesize() // 1024
