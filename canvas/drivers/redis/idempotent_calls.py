"""Scripts that have their effect once, also where they are called again because a reply was lost.

Each call names a guard, which is a key, and a token, which no other call has under this guard; its script does nothing
where the guard holds that token already. A guard serves one call after the other of one process, so that there are only
as many keys as calls go on at once, and a number is enough for a token.
"""

import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any, TypeAlias

from canvas.drivers.redis.connection.client import RedisClient
from canvas.drivers.redis.connection.pauses import pauses
from canvas.drivers.redis.keys import BrokerKeys
from canvas.drivers.retry_policy import Delays
from canvas.errors import OperationalError
from canvas.model.ids import new_id

_Call: TypeAlias = tuple[str, list[str], list[Any]]
"""A script's name, its KEYS and its ARGV."""


class GuardPool:
    """The guards of one process that no call uses at the moment. A forked process begins with none."""

    def __init__(self, new: Callable[[], str]) -> None:
        self._new = new
        self._idle: deque[str] = deque()
        self._pid = 0

    def take(self) -> str:
        """A guard for one call: one that is idle, or a new one."""
        if self._pid != os.getpid():
            self._idle, self._pid = deque(), os.getpid()
        try:
            return self._idle.pop()
        except IndexError:
            return self._new()

    def give_back(self, guard: str) -> None:
        """Let another call use a guard whose call was answered."""
        self._idle.append(guard)


class IdempotentCalls:
    """Calls of one process at one server."""

    def __init__(self, link: RedisClient, keys: BrokerKeys) -> None:
        self._link = link
        self._guards = GuardPool(lambda: keys.idempotency(new_id()))
        self._tokens = count(1)

    def call(self, name: str, keys: Sequence[str], arguments: Sequence[Any], delays: Delays) -> Any:
        """The reply of a script whose KEYS begin with the guard and whose ARGV begin with the token.

        It is called again after each of ``delays`` (``None``: six times within seconds). Raises OperationalError when
        the last try failed.
        """
        guard, token = self._guards.take(), next(self._tokens)
        call = name, [guard, *keys], [f"{token}", *arguments]
        try:
            answer = self._link.call(*call, once=True)
        except OperationalError as exc:
            return self._called_again(call, exc, delays)
        self._guards.give_back(guard)
        return answer

    def _called_again(self, call: _Call, failure: OperationalError, delays: Delays) -> Any:
        """The reply to a call whose answer did not come. No other call takes its guard: a request that seemed lost may
        still arrive, and is to find its token."""
        for seconds in pauses() if delays is None else delays:
            time.sleep(seconds)
            try:
                return self._link.call(*call, once=True)
            except OperationalError as exc:
                failure = exc
        raise failure

    async def acall(self, name: str, keys: Sequence[str], arguments: Sequence[Any], delays: Delays) -> Any:
        """``call`` on an event loop."""
        # Imported late: a program on an event loop has imported it already; all others do without.
        import asyncio

        guard, token = self._guards.take(), next(self._tokens)
        call = name, [guard, *keys], [f"{token}", *arguments]
        try:
            answer = await self._link.acall(*call)
        except OperationalError as exc:
            failure = exc
        else:
            self._guards.give_back(guard)
            return answer
        for seconds in pauses() if delays is None else delays:
            await asyncio.sleep(seconds)
            try:
                return await self._link.acall(*call)
            except OperationalError as exc:
                failure = exc
        raise failure
