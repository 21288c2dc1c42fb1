"""Commands and their replies, straight over connections of redis' own: its client takes twice as long about each as the
server does.
"""

import select
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import redis.exceptions
from hiredis import pack_command
from redis.backoff import ExponentialWithJitterBackoff
from redis.retry import Retry

from canvas.errors import BrokerError, OperationalError, RefusedError

UNAVAILABLE: tuple[Any, ...] = (
    redis.exceptions.ConnectionError,
    redis.exceptions.TimeoutError,
    redis.exceptions.BusyLoadingError,
    redis.exceptions.ReadOnlyError,
    OSError,
)
ERRORS: tuple[Any, ...] = (redis.exceptions.RedisError, *UNAVAILABLE, UnicodeEncodeError)
"""The errors that a command raises."""
TRIES = 6
Words = Sequence[Any]
T = TypeVar("T")


def backoff() -> ExponentialWithJitterBackoff:
    """How long to wait between two tries."""
    return ExponentialWithJitterBackoff(cap=1.0, base=0.05)


class RedisAway(OperationalError, redis.exceptions.ConnectionError):
    """Redis could not be reached. It is also redis' own error, which programs catch around Celery's calls."""


class RedisSilent(OperationalError, redis.exceptions.TimeoutError):
    """Redis did not answer in time."""


def as_ours(exc: Exception, where: str) -> BrokerError:
    """The error of canvas for one of ``ERRORS``, at a server. It is raised without its cause: redis' own traceback adds
    dozens of lines, and no fact."""
    if isinstance(exc, UNAVAILABLE):
        late = isinstance(exc, redis.exceptions.TimeoutError)
        return (RedisSilent if late else RedisAway)(f"Redis at {where}: {exc}")
    if isinstance(exc, UnicodeEncodeError):
        return RefusedError(f"cannot be told to Redis: {exc}")
    return BrokerError(f"Redis at {where} refused: {exc}")


def poll_of(connection: Any) -> Any:
    """What tells whether something has come on an open connection."""
    poll = select.poll()
    poll.register(connection._sock.fileno(), select.POLLIN)
    return poll


def taken_from(kept: deque[T]) -> Iterator[T]:
    """What is kept, the latest first, until there is no more; each goes to one thread."""
    with suppress(IndexError):
        while True:
            yield kept.pop()


class Commands:
    """Connections of one process to one server, each for one call at a time. They raise redis' own errors.

    A call that is ``patient`` is made again while the server is away; another is not, once its request may have reached
    the server.
    """

    def __init__(self, client: Any) -> None:
        self.client = client
        self._idle: deque[tuple[Any, Any]] = deque()
        self._retry = Retry(backoff(), TRIES, supported_errors=UNAVAILABLE)

    def one(self, words: Words, patient: bool = True) -> Any:
        """The reply to one command."""
        return self.many([words], patient)[0] if patient else self._made([words], False)[0]

    def many(self, commands: Sequence[Words], patient: bool = True, transaction: bool = False) -> list[Any]:
        """The replies to commands sent together. Raises the first error among them, when all have been read."""
        if not commands:
            return []
        if not patient:
            return self._made(commands, transaction)
        return self._retry.call_with_retry(lambda: self._made(commands, transaction), lambda _: None)

    def _made(self, commands: Sequence[Words], transaction: bool) -> list[Any]:
        connection, poll = self._take()
        kept = False
        try:
            _send(connection, [("MULTI",), *commands, ("EXEC",)] if transaction else commands)
            replies = _received(connection, len(commands), transaction)
            kept = True
        except (redis.exceptions.ResponseError, *UNAVAILABLE) as exc:
            kept = not isinstance(exc, UNAVAILABLE)
            if not kept:
                self._forget()
            raise
        finally:
            if kept:
                self._idle.append((connection, poll))
            else:
                self._drop(connection)
        told = self.client.response_callbacks
        for place, words in enumerate(commands):
            callback = told.get(words[0])
            if callback is not None:
                replies[place] = callback(replies[place])
        return replies

    def _take(self) -> tuple[Any, Any]:
        """An idle connection on which nothing has come, not even its end; or a new one."""
        while self._idle:
            try:
                connection, poll = self._idle.pop()
            except IndexError:
                break  # another thread took it
            if not poll.poll(0):
                return connection, poll
            self._drop(connection)
        try:
            connection = self.client.connection_pool.get_connection()
        except redis.exceptions.AuthenticationError as exc:
            # To redis' classes it is a lost connection, but trying again does not help.
            raise redis.exceptions.ResponseError(str(exc)) from exc
        return connection, poll_of(connection)

    def _drop(self, connection: Any) -> None:
        connection.disconnect()
        self.client.connection_pool.release(connection)

    def _forget(self) -> None:
        """Close what is idle: where one connection failed, the others lead to the same server that is away."""
        for connection, _ in taken_from(self._idle):
            self._drop(connection)

    def close(self) -> None:
        """Close what is idle."""
        self._forget()
        self.client.close()


def _send(connection: Any, commands: Sequence[Words]) -> None:
    connection.send_packed_command(_packed(connection, commands))


def _packed(connection: Any, commands: Sequence[Words]) -> Any:
    """Commands as bytes, by hiredis: redis-py looks at each word first, which takes as long as to write it."""
    try:
        return [pack_command(tuple(words)) for words in commands]
    except TypeError:  # a word of a type that redis-py converts, or refuses by name
        return connection.pack_commands(commands)


def _received(connection: Any, count: int, transaction: bool) -> list[Any]:
    """The replies to so many commands; those of a transaction are EXEC's."""
    if count == 1 and not transaction:
        return [connection.read_response()]
    replies: list[Any] = []
    for _ in range(count + 2 if transaction else count):
        try:
            replies.append(connection.read_response())
        except redis.exceptions.ResponseError as exc:
            replies.append(exc)
    whole = replies[-1] if transaction else replies
    for reply in [*replies, *(whole if isinstance(whole, list) else ())]:
        if isinstance(reply, redis.exceptions.ResponseError):
            raise reply
    return whole
