"""The clients of event loops: each loop has connections of its own, which are closed with it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from canvas.drivers.redis.connection.sockets import close_sockets


@contextmanager
def cancellation_kept() -> Iterator[None]:
    """Raises CancelledError at the end, whatever that is, if the task was cancelled meanwhile.

    redis-py sends by ``asyncio.wait_for()``, which before Python 3.12 forgets a cancellation that comes when the bytes
    have just left.
    """
    task = asyncio.current_task()
    before = 0 if task is None else task.cancelling()
    try:
        yield
    finally:
        if task is not None and task.cancelling() > before:
            raise asyncio.CancelledError


async def take_cancellation() -> None:
    """Raise CancelledError if this task has cancelled itself and has not been interrupted by it yet: redis-py's
    ``asyncio.wait_for()`` would forget that, too."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        await asyncio.sleep(0)


class LoopClients:
    """A client for calls that are repeated, and one for those that are not, on each event loop."""

    def __init__(self, make: Callable[[bool], Any]) -> None:
        """``make(retry)`` gives a client for the running event loop."""
        self._make = make
        self._known: dict[asyncio.AbstractEventLoop, tuple[dict[bool, Any], AsyncIterator[None]]] = {}

    def client(self, retry: bool) -> Any:
        """The client of the running event loop; without ``retry`` it repeats no command."""
        loop = asyncio.get_running_loop()
        if loop not in self._known:
            self._leave_closed_loops()
            clients: dict[bool, Any] = {}
            closing = self._closed_with_its_loop(clients)
            # An event loop knows, and closes at its own end, the generators that were begun on it. Nothing waits here.
            step: Any = closing.__anext__()
            with suppress(StopIteration):
                step.send(None)
            self._known[loop] = clients, closing
        clients, _ = self._known[loop]
        if retry not in clients:
            clients[retry] = self._make(retry)
        return clients[retry]

    def close_inherited(self) -> None:
        """In a forked process: close its copies of the parent's sockets."""
        for clients, _ in list(self._known.values()):
            close_sockets(clients.values())

    def _leave_closed_loops(self) -> None:
        """Close the connections of event loops that were closed without ``shutdown_asyncgens()``."""
        for loop in [loop for loop in list(self._known) if loop.is_closed()]:
            clients, _ = self._known.pop(loop)
            close_sockets(clients.values())

    async def _closed_with_its_loop(self, clients: dict[bool, Any]) -> AsyncIterator[None]:
        """Closes an event loop's clients when the loop ends."""
        try:
            yield
        finally:
            self._known.pop(asyncio.get_running_loop(), None)
            for client in clients.values():
                await client.aclose()
