"""The methods of a run on an event loop."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from typing import Any, Generic, Self, TypeVar

from canvas.caller_warnings import ends_in_caller
from canvas.workflows.progress.signal_batches import send_on_loop
from canvas.workflows.run_results import RunResults
from canvas.workflows.status import RunStatus

_END = object()
R = TypeVar("R")
"""The class of the runs that a run gives."""


@ends_in_caller(known_as="Run")
class AsyncRun(RunResults, ABC, Generic[R]):
    """A run that is read and controlled from an event loop: each method is the one without ``a``."""

    async def astatus(self) -> RunStatus:
        """``status``, without blocking the event loop."""
        return await asyncio.to_thread(self.status)

    async def aquery(self, name: str | None = None) -> str:
        """``query``, without blocking the event loop."""
        return await asyncio.to_thread(self.query, name)

    async def aready(self) -> bool:
        """``ready``, without blocking the event loop."""
        return await asyncio.to_thread(self.ready)

    async def asuccessful(self) -> bool:
        """``successful``, without blocking the event loop."""
        return await asyncio.to_thread(self.successful)

    async def afailed(self) -> bool:
        """``failed``, without blocking the event loop."""
        return await asyncio.to_thread(self.failed)

    async def aresults(self) -> dict[str, Any]:
        """``results``, without blocking the event loop."""
        return await asyncio.to_thread(self.results)

    async def apages(self, name: str) -> AsyncIterator[Any]:
        """``pages``, without blocking the event loop."""
        pages = self.pages(name)
        while (page := await asyncio.to_thread(next, pages, _END)) is not _END:
            yield page

    async def arefresh(self) -> Self:
        """``refresh``, without blocking the event loop."""
        return await asyncio.to_thread(self.refresh)

    async def asignals(self) -> dict[str, list[Any]]:
        """``signals``, without blocking the event loop."""
        return await asyncio.to_thread(self.signals)

    async def achild(self, name: str, item: int | None = None) -> R | None:
        """``child``, without blocking the event loop."""
        return await asyncio.to_thread(self.child, name, item)

    async def adraw(self, form: str = "text") -> str:
        """``draw``, without blocking the event loop."""
        return await asyncio.to_thread(self.draw, form)

    async def acancel(self, terminate: bool = False, signal: str = "SIGTERM") -> bool:
        """``cancel``, without blocking the event loop."""
        return await asyncio.to_thread(self.cancel, terminate, signal)

    async def asignal(self, name: str, payload: Any = None, key: str | None = None) -> None:
        """``signal``, without blocking the event loop. Signals to several runs that are sent at once, as by
        ``asyncio.gather``, take a fraction of the time: up to 50 go to the store in one call."""
        await send_on_loop(self, name, payload, key)

    async def aresume(self, force: bool = False) -> bool:
        """``resume``, without blocking the event loop."""
        return await asyncio.to_thread(self.resume, force)

    async def aagain(self, from_node: str) -> bool:
        """``again``, without blocking the event loop."""
        return await asyncio.to_thread(self.again, from_node)

    async def aretry(self) -> R:
        """``retry``, without blocking the event loop."""
        return await asyncio.to_thread(self.retry)

    @abstractmethod
    def signals(self) -> dict[str, list[Any]]: ...

    @abstractmethod
    def child(self, name: str, item: int | None = None) -> R | None: ...

    @abstractmethod
    def draw(self, form: str = "text") -> str: ...

    @abstractmethod
    def cancel(self, terminate: bool = False, signal: str = "SIGTERM") -> bool: ...

    @abstractmethod
    def signal(self, name: str, payload: Any = None, key: str | None = None) -> None: ...

    @abstractmethod
    def resume(self, force: bool = False) -> bool: ...

    @abstractmethod
    def again(self, from_node: str) -> bool: ...

    @abstractmethod
    def retry(self) -> R: ...
