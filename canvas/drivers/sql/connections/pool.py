"""Connections to one database, kept for reuse.

An exception may come out of any line: of a signal's handler, of a time limit of a task, of Ctrl-C. SQLAlchemy's own
pool may keep a lock then, or count a connection that is lost. This pool has no locks, and it keeps no connection whose
transaction was broken off: an answer may be left in it.
"""

import time
from collections import deque
from collections.abc import Callable
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, TypeVar
from weakref import ref

from sqlalchemy import Connection, Engine, exc
from sqlalchemy.pool import ConnectionPoolEntry, Pool

T = TypeVar("T")

_USABLE = "canvas_usable"
_PLACE = "canvas_place"
_LOOKS_EVERY = 0.5
"""Seconds after which a thread that waits for a connection checks whether one was lost."""


class _Place:
    """The right to have one connection."""

    __slots__ = ("__weakref__",)


class KeptConnections(Pool):
    """A pool of connections, each for one thread at a time; the arguments are those of SQLAlchemy's QueuePool.

    A place that is lost, in a call that an exception breaks off, is deleted; the next user makes another.
    """

    def __init__(
        self, creator: Any, pool_size: int = 5, max_overflow: int = 10, timeout: float = 30.0, use_lifo: bool = False,
        **options: Any,
    ) -> None:  # fmt: skip
        """``pool_size``: how many unused connections are kept at most; with 0 all of them. There are ``max_overflow``
        more at the same time at most; with -1 there is no limit. ``timeout``: seconds to wait for one."""
        super().__init__(creator, **options)
        self._arguments: dict[str, Any] = {
            "pool_size": pool_size, "max_overflow": max_overflow, "timeout": timeout, "use_lifo": use_lifo,
        }  # fmt: skip
        self._kept_at_most = pool_size or float("inf")
        self._most = pool_size + max_overflow if pool_size and max_overflow >= 0 else float("inf")
        self._idle: deque[ConnectionPoolEntry] = deque()
        self._take_idle = self._idle.pop if use_lifo else self._idle.popleft
        self._timeout = timeout
        self._places: SimpleQueue[_Place] = SimpleQueue()
        self._alive: dict[int, ref[_Place]] = {}

    def _place(self) -> _Place:
        """A place. Raises SQLAlchemy's TimeoutError."""
        until = time.monotonic() + self._timeout
        while True:
            try:
                left = until - time.monotonic()
                full = len(self._alive) >= self._most
                return self._places.get(full and left > 0, min(left, _LOOKS_EVERY) if full and left > 0 else None)
            except Empty:
                pass
            if len(self._alive) < self._most:
                place = _Place()
                # Removed by a function of C: no exception of a signal's handler can come out of it.
                self._alive[id(place)] = ref(place, partial(self._alive.pop, id(place)))
                return place
            if left <= 0:
                raise exc.TimeoutError(f"all {self._most} connections are in use for {self._timeout:g} s")

    def _do_get(self) -> ConnectionPoolEntry:
        place = self._place()
        try:
            record = self._take_idle()
        except IndexError:
            try:
                record = self._create_connection()
            except BaseException:
                # The traceback refers to the place, and SQLAlchemy's error to itself by its traceback: the place would
                # be lost until the garbage collector runs.
                self._places.put(place)
                raise
        record.record_info[_PLACE] = place  # type: ignore[index]
        return record

    def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
        place = record.record_info.pop(_PLACE, None)  # type: ignore[union-attr]
        usable = record.info.pop(_USABLE, False)
        if usable and len(self._idle) < self._kept_at_most:
            self._idle.append(record)
        else:
            record.close()
        if place is not None:
            self._places.put(place)

    def recreate(self) -> "KeptConnections":
        """Another pool for the same database, without connections."""
        return KeptConnections(
            self._creator, **self._arguments, recycle=self._recycle, pre_ping=self._pre_ping, echo=self.echo,
            logging_name=self._orig_logging_name, reset_on_return=self._reset_on_return, _dispatch=self.dispatch,
            dialect=self._dialect,
        )  # fmt: skip

    def dispose(self) -> None:
        """Close the unused connections."""
        while True:
            try:
                record = self._idle.pop()
            except IndexError:
                return
            record.close()

    def status(self) -> str:
        """A text with the number of connections."""
        return f"connections: {len(self._alive) - self._places.qsize()} in use, {len(self._idle)} unused"


def in_transaction(engine: Engine, work: Callable[[Connection], T]) -> T:
    """The result of ``work`` in a transaction. The connection is used again only if nothing but the database has broken
    it off."""
    connection = engine.connect()
    usable = False
    try:
        result = work(connection)
        connection.commit()
        usable = True
        return result
    except exc.DBAPIError:
        connection.rollback()
        usable = not connection.invalidated
        raise
    finally:
        if usable:
            connection.info[_USABLE] = True
        else:
            connection.invalidate()
        connection.close()


def interruption(error: exc.SQLAlchemyError, before: BaseException | None) -> BaseException | None:
    """The exception of a signal's handler or of a time limit that has broken a call off, where ``error`` was raised in
    its place: by SQLAlchemy, or by the steps that were to clean up. It is of a class that neither Python nor the
    libraries of the database have. ``before``: the exception that was being handled when the call began.
    """
    found: BaseException | None = getattr(error, "orig", None) or error
    libraries = {"builtins", "sqlalchemy", type(found).__module__.partition(".")[0]}
    if isinstance(error, exc.StatementError) and not isinstance(error, exc.DBAPIError):
        libraries = {"builtins", "sqlalchemy"}
    while found is not None and found is not before:
        own = type(found).__module__.partition(".")[0] in libraries and isinstance(found, Exception)
        if not own and not isinstance(found, OSError):
            return found
        found = found.__context__
    return None
