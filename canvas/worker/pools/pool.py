"""The processes that run a node's tasks, as the node sees them."""

from collections.abc import Callable
from typing import Any, Protocol

from canvas.worker.pools.child_commands import ChildCommand
from canvas.worker.process import WorkerProcess


class Pool(Protocol):
    """The processes of a node."""

    def run(self, on_ready: Callable[[], None]) -> int:
        """Work until stopped. Returns the exit code."""

    def stop(self) -> None:
        """Finish the tasks that run and end. Safe from any thread."""

    def ask(self, command: ChildCommand) -> list[dict[str, Any]]:
        """Every process's answer (``WorkerProcess.ask``)."""

    def resize(self, by: int) -> None:
        """Add ``by`` slots, or remove slots if ``by`` is negative. Raises ValueError for a pool that cannot."""

    def restart(self) -> None:
        """Replace every process, warmly. Raises ValueError where the pool cannot."""


class InProcessPool:
    """The pool of a node that is one process, this one."""

    def __init__(self, process: WorkerProcess) -> None:
        self._process = process

    def run(self, on_ready: Callable[[], None]) -> int:
        self._process.handle_signals()
        self._process.run(on_ready)
        return 0

    def stop(self) -> None:
        self._process.warm_shutdown()

    def ask(self, command: ChildCommand) -> list[dict[str, Any]]:
        return [self._process.ask(command)]

    def resize(self, by: int) -> None:
        self._process.resize(by)

    def restart(self) -> None:
        raise ValueError("only the prefork pool can be restarted")
