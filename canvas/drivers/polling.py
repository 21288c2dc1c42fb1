"""Watches that read the store repeatedly, less often while nothing happens, and at once when they are woken.

If a record changes several times between two reads, a watch gives the last state.
"""

import asyncio
import contextlib
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence

Found = tuple[str, bytes]

_FIRST, _GROWTH, _MOST = 0.01, 1.5, 0.5
"""Seconds between two reads: at first, their growth, and at most."""


class _Polled:
    """The records that a watch has given, and the time of its next read."""

    def __init__(self, task_ids: Iterable[str]) -> None:
        self._given: dict[str, bytes | None] = dict.fromkeys(task_ids)
        self._new: deque[Found] = deque()
        self._pause = _FIRST

    def drop(self, task_id: str) -> None:
        """Stop watching one id."""
        self._given.pop(task_id, None)

    def _next_new(self) -> Found | None:
        while self._new:
            found = self._new.popleft()
            if found[0] in self._given:
                return found
        return None

    def _compare(self, ids: Sequence[str], payloads: Sequence[bytes | None]) -> Found | None:
        for task_id, payload in zip(ids, payloads, strict=True):
            if payload is not None and task_id in self._given and self._given[task_id] != payload:
                self._given[task_id] = payload
                self._new.append((task_id, payload))
                self._pause = _FIRST
        return self._next_new()

    def _pause_until(self, deadline: float | None) -> float | None:
        """Seconds to the next read; ``None`` when the time is over."""
        pause, self._pause = self._pause, min(_MOST, self._pause * _GROWTH)
        if deadline is None:
            return pause
        left = deadline - time.monotonic()
        return min(pause, left) if left > 0 else None


class PollingWatch(_Polled):
    """A watch of one thread."""

    def __init__(
        self, read: Callable[[Sequence[str]], list[bytes | None]], task_ids: Iterable[str], woken: threading.Event
    ) -> None:
        """``woken`` is set when a record may have been stored."""
        super().__init__(task_ids)
        self._read = read
        self._woken = woken

    def next(self, timeout: float | None) -> Found | None:
        """The next record; ``None`` after ``timeout`` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        found = self._next_new()
        while found is None:
            self._woken.clear()
            ids = list(self._given)
            found = self._compare(ids, self._read(ids))
            if found is None:
                pause = self._pause_until(deadline)
                if pause is None:
                    return None
                self._woken.wait(pause)
        return found


class AsyncPollingWatch(_Polled):
    """A watch of one coroutine."""

    def __init__(
        self,
        read: Callable[[Sequence[str]], Awaitable[list[bytes | None]]],
        task_ids: Iterable[str],
        woken: asyncio.Event,
    ) -> None:
        """``woken`` is set when a record may have been stored."""
        super().__init__(task_ids)
        self._read = read
        self._woken = woken

    async def next(self, timeout: float | None) -> Found | None:
        """The next record; ``None`` after ``timeout`` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        found = self._next_new()
        while found is None:
            self._woken.clear()
            ids = list(self._given)
            found = self._compare(ids, await self._read(ids))
            if found is None:
                pause = self._pause_until(deadline)
                if pause is None:
                    return None
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._woken.wait()
        return found


class BlockingReads(ABC):
    """The reads of a result store whose ``get`` blocks.

    Coroutines wait for it on a thread. A prefix is cut from the whole record. Nothing announces records: the watches
    read them repeatedly.
    """

    @abstractmethod
    def get(self, task_ids: Sequence[str], retry: bool = True) -> list[bytes | None]:
        """See ``ResultStore.get``."""

    async def aget(self, task_ids: Sequence[str]) -> list[bytes | None]:
        return await asyncio.to_thread(self.get, task_ids)

    def read_prefix(self, task_ids: Sequence[str], size: int) -> list[bytes]:
        return [(payload or b"")[:size] for payload in self.get(task_ids, retry=False)]

    async def aread_prefix(self, task_ids: Sequence[str], size: int) -> list[bytes]:
        return await asyncio.to_thread(self.read_prefix, task_ids, size)

    @contextlib.contextmanager
    def watch(self, task_ids: Iterable[str]) -> Iterator[PollingWatch]:
        yield PollingWatch(self.get, list(task_ids), threading.Event())

    @contextlib.asynccontextmanager
    async def awatch(self, task_ids: Iterable[str]) -> AsyncIterator[AsyncPollingWatch]:
        yield AsyncPollingWatch(self.aget, list(task_ids), asyncio.Event())
