"""The children of a prefork node: forked, signalled, reaped."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from canvas.app.application import Canvas
from canvas.telemetry import emit
from canvas.worker.consumer.shared_wait import SharedWait
from canvas.worker.logs.streams import flush
from canvas.worker.monitoring.shared_memory import ProcessStats, SharedMemory
from canvas.worker.options import WorkerOptions, new_worker_id
from canvas.worker.pools import child
from canvas.worker.pools.child_channel import ChildChannel
from canvas.worker.signal_handlers import STOPS

_FORK_PAUSE = 1.0
"""Seconds until the next attempt where the system refuses another process."""


@dataclass(slots=True, eq=False)
class ChildProcess:
    """One child, as its parent knows it."""

    pid: int
    worker: str
    """Its worker id."""
    channel: ChildChannel
    row: ProcessStats
    index: int
    """Its number among those that live, from 1."""
    forked_at: float | None = field(default_factory=time.monotonic)
    """Monotonic time of the fork; ``None`` once the child has started."""
    totals: dict[str, int] = field(default_factory=dict)
    """Tasks by name that it had begun when it last reported them."""
    retiring: bool = False
    """It ends after the task that it runs."""
    killed: bool = False

    def kill(self) -> None:
        self.killed = True
        os.kill(self.pid, signal.SIGKILL)


class Children:
    """The children that live, or whose end has not been noticed yet."""

    def __init__(self, app: Canvas, plan: WorkerOptions, memory: SharedMemory, wait: SharedWait) -> None:
        self._app = app
        self._plan = plan
        self._memory = memory
        self._wait = wait
        self._by_pid: dict[int, ChildProcess] = {}
        self._forks = 0
        self._fork_after = 0.0

    def __iter__(self) -> Iterator[ChildProcess]:
        """In the order in which they were forked. Safe from any thread."""
        return iter(list(self._by_pid.values()))

    def __len__(self) -> int:
        return len(self._by_pid)

    @property
    def staying(self) -> list[ChildProcess]:
        """The children that do not retire."""
        return [one for one in self if not one.retiring]

    @property
    def may_fork(self) -> bool:
        """Whether to try another fork: not for a moment after the system has refused a process."""
        return time.monotonic() >= self._fork_after

    def fork(self) -> ChildProcess | None:
        """Fork one child more; ``None`` where the system has no process to give."""
        emit("worker.forking", pool=self)
        flush()
        # Until it has handlers of its own, a child would take a signal as its parent does.
        mask: child.Mask = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
        try:
            return self._fork(mask)
        except OSError as exc:
            self._fork_after = time.monotonic() + _FORK_PAUSE
            emit("worker.fork_failed", error=str(exc))
            return None
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def _fork(self, mask: child.Mask) -> ChildProcess:
        """Raises OSError when the system has no process, or no files, to give."""
        self._forks += 1
        taken = {one.index for one in self}
        index = min(set(range(1, len(taken) + 2)) - taken)
        worker, channel = new_worker_id(self._plan.hostname), ChildChannel()
        row = self._memory.open_row()
        wait = self._wait.enlist(row)
        siblings = [one.channel for one in self]
        origin = child.Origin(worker, self._memory, row, channel, siblings, mask, index, self._forks, wait, os.getpid())
        try:
            with self._wait.forking:
                pid = os.fork()
        except OSError:
            channel.close()
            self._wait.discharge(row)
            self._memory.close_row(row)
            raise
        if pid == 0:
            child.run_and_exit(
                lambda: child.serve(self._app, self._plan, origin, self._wait), worker, self._plan.hostname
            )
        channel.close_child_end()
        found = self._by_pid[pid] = ChildProcess(pid, worker, channel, row, index)
        return found

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to each."""
        for one in self:
            with suppress(ProcessLookupError):  # it was reaped just now
                os.kill(one.pid, number)

    def reap(self) -> Iterator[tuple[ChildProcess, int | None]]:
        """Forget those that have ended: each with its exit code, ``None`` where other code of this program has taken
        that. Other processes of this program are left to the code that started them."""
        for one in self:
            try:
                found, status = os.waitpid(one.pid, os.WNOHANG)
            except ChildProcessError:
                code = None
            else:
                if found == 0:
                    continue
                code = os.waitstatus_to_exitcode(status)
            self._forget(one)
            yield one, code

    def _forget(self, one: ChildProcess) -> None:
        del self._by_pid[one.pid]
        self._memory.ended.update(one.channel.final_stats().get("total", {}))
        one.channel.close()
        self._wait.discharge(one.row)
        self._memory.close_row(one.row)
