"""Calls that have their effect once, however often they are made because an answer was lost.

Each names a guard, which is a key, and a token of its own; its script does nothing where the guard holds that token
already. A guard serves one call after the other, so that there are only as many keys as calls go on at once.
"""

import asyncio
import os
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import TypeVar

from canvas.drivers.redis.calls import TRIES, backoff
from canvas.drivers.redis.keys import BrokerKeys
from canvas.errors import OperationalError
from canvas.model.ids import new_id

T = TypeVar("T")


class Guards:
    """The guards of one process at one server."""

    def __init__(self, keys: BrokerKeys) -> None:
        self._keys = keys
        self._idle: deque[str] = deque()
        self._pid = 0

    def once(self, call: Callable[[str, str], T], delays: Iterable[float] | None) -> T:
        """What ``call``, which is told its guard and token, returns at last.

        It is made again after each of ``delays`` (seconds; ``None``: six times within seconds). Raises
        OperationalError when the last try failed.
        """
        guard, token = self._take(), new_id()
        left: Iterator[float] | None = None
        while True:
            try:
                answer = call(guard, token)
            except OperationalError:
                left = left or _pauses(delays)
                pause = next(left, None)
                if pause is None:
                    raise
                time.sleep(pause)
            else:
                self._end(guard, clean=left is None)
                return answer

    async def aonce(self, call: Callable[[str, str], Awaitable[T]], delays: Iterable[float] | None) -> T:
        """``once`` on an event loop."""
        guard, token = self._take(), new_id()
        left: Iterator[float] | None = None
        while True:
            try:
                answer = await call(guard, token)
            except OperationalError:
                left = left or _pauses(delays)
                pause = next(left, None)
                if pause is None:
                    raise
                await asyncio.sleep(pause)
            else:
                self._end(guard, clean=left is None)
                return answer

    def _take(self) -> str:
        if self._pid != os.getpid():
            self._idle, self._pid = deque(), os.getpid()
        try:
            return self._idle.pop()
        except IndexError:
            return self._keys.sent(new_id())

    def _end(self, guard: str, clean: bool) -> None:
        """``clean``: at the first try. Else a request that seemed lost may still arrive, and is to find its token."""
        if clean:
            self._idle.append(guard)


def _pauses(delays: Iterable[float] | None) -> Iterator[float]:
    if delays is not None:
        return iter(delays)
    waits = backoff()
    return (waits.compute(failures) for failures in range(1, TRIES + 1))
