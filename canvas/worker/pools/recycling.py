"""When a child process is replaced: after a number of tasks, or above an amount of memory."""

from pathlib import Path

from canvas.worker.pipeline.active_tasks import ActiveTasks


class RecycleLimits:
    """The limits of one child; ``reason`` is called after each task."""

    def __init__(self, max_tasks: int | None, max_memory: int | None) -> None:
        """``max_memory`` in KiB of resident memory; ``None`` and 0 are no limit."""
        self._max_tasks = max_tasks
        self._max_memory = max_memory
        self.any = bool(max_tasks or max_memory)
        """Whether there is a limit at all."""

    def reason(self, active_tasks: ActiveTasks) -> str | None:
        """Why the process is to be replaced, or ``None``."""
        if self._max_tasks and active_tasks.started >= self._max_tasks:
            return f"it has run {active_tasks.started} tasks (worker_max_tasks_per_child)"
        if self._max_memory:
            used = resident_memory()
            if used > self._max_memory:
                return f"it uses {used:,} KiB, more than worker_max_memory_per_child ({self._max_memory:,})"
        return None


def resident_memory() -> int:
    """Memory of this process now, KiB; where the system does not show it, the most it ever was."""
    import resource

    found = memory_of("self")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss if found is None else found


def memory_of(pid: int | str) -> int | None:
    """Memory of a process now, KiB; ``None`` where it has ended, or the system does not show it."""
    import resource

    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, IndexError):
        return None
    return pages * resource.getpagesize() // 1024
