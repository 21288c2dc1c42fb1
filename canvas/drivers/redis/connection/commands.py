"""Commands and their replies over connections that are kept for the next call."""

import select
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from math import inf
from typing import Any, TypeAlias, TypeVar

from canvas.drivers.absence import Absence
from canvas.drivers.redis.connection.connecting import Connector
from canvas.drivers.redis.connection.pauses import pauses
from canvas.drivers.redis.connection.resp import Command, Connection, NotServed, Refusal
from canvas.drivers.retry_policy import tried
from canvas.drivers.silence import reported
from canvas.errors import BrokerError, OperationalError, RefusedError
from canvas.interruptions import raise_interruption

T = TypeVar("T")
Meanwhile: TypeAlias = Callable[[], object] | None
"""A call of the caller's while the server works on its command."""
CHECK_AFTER = 30.0
"""Seconds without use after which a connection is tried with a PING: it may lead nowhere by now."""


class SlotNotServed(BrokerError):
    """A node of a Redis Cluster does not serve the slot of a call's keys. The call has had no effect."""

    def __init__(self, refusal: NotServed, where: str) -> None:
        self.code, self.target, self.refusal = refusal.code, refusal.target, str(refusal)
        what = f"Redis at {where} refused: {refusal}"
        super().__init__(
            f"{what}. It is a node of a Redis Cluster, or a proxy for one: write redis+cluster:// in its URL"
        )


def as_ours(exc: Exception, where: str) -> BrokerError:
    """The error of canvas for one of ``resp.ERRORS``, at a server. It is raised without its cause: that adds lines, and
    no fact. Raises an exception of a signal's handler as it is."""
    raise_interruption(exc)
    if isinstance(exc, OSError):
        text = f"Redis at {where}: {exc}"
        if "redis" not in sys.modules:
            return OperationalError(text)
        # A program that has imported redis-py may catch its errors around Celery's calls.
        from canvas.drivers.redis.connection.redis_py import RedisSilent, RedisUnreachable

        return (RedisSilent if isinstance(exc, TimeoutError) else RedisUnreachable)(text)
    if isinstance(exc, NotServed):
        return SlotNotServed(exc, where)
    if isinstance(exc, UnicodeEncodeError):
        return RefusedError(f"cannot be sent to Redis: {exc}")
    return BrokerError(f"Redis at {where} refused: {exc}")


def taken_from(kept: deque[T]) -> Iterator[T]:
    """The items that are kept, the latest first, until none is left; one thread gets each."""
    with suppress(IndexError):
        while True:
            yield kept.pop()


class Commands:
    """Connections of one process to one server, each for one call at a time. They raise OSError, and Refusal.

    A call with ``retry`` is made again while the server is unreachable. Without it, a call is not made again once its
    request may have reached the server.
    """

    def __init__(self, connector: Connector, check_after: float = CHECK_AFTER) -> None:
        self._connector = connector
        self._check_after = check_after or inf
        self._idle: deque[tuple[Connection, Any]] = deque()
        self.absence = Absence()

    def one(self, command: Command, retry: bool = True, meanwhile: Meanwhile = None) -> Any:
        """The reply to one command; ``meanwhile`` is called once it is sent, unless it may be sent again."""
        return self.many([command])[0] if retry else self._made([command], False, meanwhile)[0]

    def many(self, commands: Sequence[Command], retry: bool = True, transaction: bool = False) -> list[Any]:
        """The replies to commands sent together. Raises the first error among them, when all have been read."""
        if not commands:
            return []
        if not retry:
            return self._made(commands, transaction)
        return tried(partial(self._made, commands, transaction), pauses(), OSError)

    def _made(self, commands: Sequence[Command], transaction: bool, meanwhile: Meanwhile = None) -> list[Any]:
        connection, poll = self._take()
        kept = False
        try:
            connection.send([("MULTI",), *commands, ("EXEC",)] if transaction else commands)
            if meanwhile is not None:
                meanwhile()
            if transaction or len(commands) > 1:
                replies = _received(connection, len(commands), transaction)
            else:
                replies = [connection.receive()]
            kept = True
        except Refusal:
            kept = True
            raise
        except OSError:
            self.absence.note()
            self.close()
            raise
        finally:
            if kept:
                self._idle.append((connection, poll))
            else:
                self._connector.drop(connection)
        for place, words in enumerate(commands):
            read = _READ.get(words[0])
            if read is not None:
                replies[place] = read(replies[place])
        return replies

    def _take(self) -> tuple[Connection, Any]:
        """An idle connection on which nothing has come, not even its end; or a new one."""
        while self._idle:
            try:
                connection, poll = self._idle.pop()
            except IndexError:
                break  # another thread took it
            tried = time.monotonic() - connection.used_at < self._check_after or self._answers(connection)
            if tried and not poll.poll(0):
                return connection, poll
            self._connector.drop(connection)
        try:
            connection = self._connector.connection()
        except OSError:
            self.absence.note()
            raise
        poll = select.poll()
        poll.register(connection.fileno(), select.POLLIN)
        return connection, poll

    def _answers(self, connection: Connection) -> bool:
        """Whether a connection still leads to its server."""
        try:
            connection.send([("PING",)])
            connection.receive()
        except (Refusal, OSError) as exc:
            raise_interruption(exc)
            return False
        return True

    def close(self) -> None:
        """Close the idle connections. Where one connection failed, the others lead to the same unreachable server."""
        for connection, _ in taken_from(self._idle):
            self._connector.drop(connection)


class WatchedCommands(Commands):
    """Commands whose server is reported while it does not answer."""

    def __init__(self, connector: Connector, check_after: float, where: str) -> None:
        super().__init__(connector, check_after)
        self._where = where

    def _made(self, commands: Sequence[Command], transaction: bool, meanwhile: Meanwhile = None) -> list[Any]:
        with reported(self._where):
            return super()._made(commands, transaction, meanwhile)


def _received(connection: Connection, count: int, transaction: bool) -> list[Any]:
    """The replies to ``count`` commands; those of a transaction are EXEC's."""
    replies: list[Any] = []
    for _ in range(count + 2 if transaction else count):
        try:
            replies.append(connection.receive())
        except Refusal as exc:
            replies.append(exc)
    whole = replies[-1] if transaction else replies
    for reply in [*replies, *(whole if isinstance(whole, list) else ())]:
        if isinstance(reply, Exception):
            raise reply
    return whole


def _pairs(reply: list[bytes]) -> dict[bytes, bytes]:
    return dict(zip(reply[::2], reply[1::2], strict=True))


def _numbers(reply: list[bytes | None]) -> list[float | None]:
    return [None if score is None else float(score) for score in reply]


def _done(reply: bytes | None) -> bool:
    return reply is not None


_READ: dict[Any, Callable[[Any], Any]] = {"HGETALL": _pairs, "SET": _done, "SMEMBERS": set, "ZMSCORE": _numbers}
"""How replies of a kind that the protocol has no type for are read, by command."""
