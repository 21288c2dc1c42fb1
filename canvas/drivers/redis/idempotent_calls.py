"""Scripts that have their effect once, however often they are called because an answer was lost.

Each call names a guard, which is a key, and a token, which no other call has under this guard; its script does nothing
where the guard holds that token already. A guard serves one call after the other of one process, so that there are only
as many keys as calls go on at once, and a number is enough for a token.
"""

import os
import time
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any

from canvas.drivers.redis.connection.client import RedisClient
from canvas.drivers.redis.connection.pauses import pauses
from canvas.drivers.redis.keys import BrokerKeys
from canvas.drivers.retry_policy import Delays
from canvas.errors import OperationalError
from canvas.model.ids import new_id


class IdempotentCalls:
    """The guards of one process at one server."""

    def __init__(self, link: RedisClient, keys: BrokerKeys) -> None:
        self._link = link
        self._keys = keys
        self._idle: deque[str] = deque()
        self._pid = 0
        self._tokens = count(1)

    def call(self, name: str, keys: Sequence[str], arguments: Sequence[Any], delays: Delays) -> Any:
        """The reply of a script whose KEYS begin with the guard and whose ARGV begin with the token.

        It is called again after each of ``delays`` (``None``: six times within seconds). Raises OperationalError when
        the last try failed.
        """
        tries = _Attempt(self._take(), next(self._tokens), delays)
        while True:
            try:
                answer = self._link.call(name, [tries.guard, *keys], [tries.token, *arguments], once=True)
            except OperationalError as exc:
                time.sleep(tries.pause(exc))
            else:
                self._end(tries)
                return answer

    async def acall(self, name: str, keys: Sequence[str], arguments: Sequence[Any], delays: Delays) -> Any:
        """``call`` on an event loop."""
        # A program on an event loop has imported it already; all others do without.
        import asyncio

        tries = _Attempt(self._take(), next(self._tokens), delays)
        while True:
            try:
                answer = await self._link.acall(name, [tries.guard, *keys], [tries.token, *arguments])
            except OperationalError as exc:
                await asyncio.sleep(tries.pause(exc))
            else:
                self._end(tries)
                return answer

    def _take(self) -> str:
        if self._pid != os.getpid():
            self._idle, self._pid = deque(), os.getpid()
        try:
            return self._idle.pop()
        except IndexError:
            return self._keys.idempotency(new_id())

    def _end(self, tries: "_Attempt") -> None:
        # A request that seemed lost may still arrive, and is to find its token.
        if not tries.failed:
            self._idle.append(tries.guard)


class _Attempt:
    """One call, as often as it is made."""

    __slots__ = ("_delays", "_pauses", "failed", "guard", "token")

    def __init__(self, guard: str, token: int, delays: Delays) -> None:
        self.guard = guard
        self.token = token
        self.failed = False
        self._delays = delays
        self._pauses: Iterator[float] = iter(())

    def pause(self, exc: OperationalError) -> float:
        """Seconds until the next try after one that failed; raises its error when there is to be none."""
        if not self.failed:
            self.failed = True
            self._pauses = pauses() if self._delays is None else iter(self._delays)
        for seconds in self._pauses:
            return seconds
        raise exc
