"""Announcements of stored records by PostgreSQL's NOTIFY, which wake the watches of a process.

A transaction that stores records notifies the channels of their ids; PostgreSQL delivers that at the commit. One thread
of a process, with one connection, listens to the channels of all ids that are watched in the process. A watch reads the
database when it is woken. It also reads from time to time: Celery's workers announce nothing.
"""

import contextlib
import os
import select
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any
from zlib import crc32

from sqlalchemy import Connection, Engine, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError

from canvas.errors import CanvasError

if TYPE_CHECKING:
    from psycopg import Connection as Listening

_CHANNELS = 64
_LONGEST = 7_000
"""Bytes of one announcement; PostgreSQL takes fewer than 8,000."""
_IDLE = 10.0
"""Seconds without a watch after which the connection is closed."""
_AGAIN = 1.0
"""Seconds until the next try to connect."""
_NOTIFY = text(
    "SELECT pg_notify(channel, ids) "
    "FROM unnest(CAST(:channels AS text[]), CAST(:ids AS text[])) AS announced(channel, ids)"
)


def _channel_of(task_id: str) -> str:
    return f"canvas_results_{crc32(task_id.encode('utf-8', 'replace')) % _CHANNELS}"


def announce(connection: Connection, task_ids: Iterable[str]) -> None:
    """Announce records at the commit of this transaction; nothing on databases other than PostgreSQL."""
    if connection.dialect.name != "postgresql":
        return
    packed: list[tuple[str, list[str], int]] = []
    latest: dict[str, int] = {}
    for task_id in dict.fromkeys(task_ids):
        channel, size = _channel_of(task_id), len(task_id.encode()) + 1
        at = latest.get(channel)
        if at is None or packed[at][2] + size > _LONGEST:
            latest[channel] = len(packed)
            packed.append((channel, [task_id], size))
        else:
            packed[at] = (channel, [*packed[at][1], task_id], packed[at][2] + size)
    if packed:
        channels = [channel for channel, _, _ in packed]
        connection.execute(_NOTIFY, {"channels": channels, "ids": ["\n".join(ids) for _, ids, _ in packed]})


def announces(url: URL) -> bool:
    """Whether the announcements of this database can be listened to, with the driver that its URL names."""
    return url.drivername == "postgresql+psycopg"


class Listener:
    """Wakes the watches of one process. Its thread runs while there are watches."""

    def __init__(self, engine: Callable[[], Engine]) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._wakes: dict[str, list[Callable[[], None]]] = defaultdict(list)
        self._thread: threading.Thread | None = None
        self._closed = False
        self._changed = (-1, -1)

    @contextlib.contextmanager
    def waking(self, task_ids: Iterable[str], wake: Callable[[], None]) -> Iterator[None]:
        """Call ``wake``, on another thread, when a record of one of these ids is stored."""
        ids = set(task_ids)
        try:
            with self._lock:
                self._add(ids, wake)
            yield
        finally:
            with self._lock:
                for task_id in ids & self._wakes.keys():
                    left = [one for one in self._wakes[task_id] if one != wake]
                    if left:
                        self._wakes[task_id] = left
                    else:
                        del self._wakes[task_id]

    def _add(self, task_ids: set[str], wake: Callable[[], None]) -> None:
        self._closed = False
        for task_id in task_ids:
            self._wakes[task_id].append(wake)
        if self._thread is None or not self._thread.is_alive():
            changed = self._changed = os.pipe()
            os.set_blocking(changed[1], False)
            thread = threading.Thread(target=self._run, args=changed, name="canvas-sql-listener", daemon=True)
            self._thread = thread
            thread.start()
        else:
            self._wake_thread()

    def close(self) -> None:
        """End the thread; watches that go on read from time to time."""
        with self._lock:
            self._wakes.clear()
            self._closed = True
            if self._thread is not None:
                self._wake_thread()

    def _wake_thread(self) -> None:
        """Wake the thread, so that it reads the list of watches."""
        with contextlib.suppress(BlockingIOError):  # the pipe is full: the thread wakes anyway
            os.write(self._changed[1], b"1")

    def _run(self, reading: int, writing: int) -> None:
        import psycopg  # imported late: other databases and drivers do without

        while True:
            try:
                with self._connected() as connection:
                    self._listen(connection, reading)
            except (SQLAlchemyError, psycopg.Error, OSError, CanvasError):
                # The watches read without announcements too, and report that the server is unreachable.
                time.sleep(_AGAIN)
            with self._lock:
                if not self._wakes:
                    self._thread = None
                    os.close(reading)
                    os.close(writing)
                    return

    @contextlib.contextmanager
    def _connected(self) -> "Iterator[Listening[Any]]":
        """A connection taken out of the pool, closed at the end."""
        pooled = self._engine().raw_connection()
        connection: Any = pooled.driver_connection
        pooled.detach()
        with contextlib.closing(connection):
            connection.autocommit = True
            yield connection

    def _listen(self, connection: "Listening[Any]", reading: int) -> None:
        """Pass announcements on until there has been no watch for a while."""
        from psycopg import sql

        listened: set[str] = set()
        idle_since = time.monotonic()
        while True:
            with self._lock:
                wanted = {_channel_of(task_id) for task_id in self._wakes}
            if wanted:
                idle_since = time.monotonic()
            elif self._closed or time.monotonic() - idle_since >= _IDLE:
                return
            for channel in sorted(wanted - listened):
                connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
            for channel in sorted(listened - wanted):
                connection.execute(sql.SQL("UNLISTEN {}").format(sql.Identifier(channel)))
            if wanted - listened:
                self._wake(None)  # a record may have been stored since its watch read it
            listened = wanted
            ready, _, _ = select.select([connection.fileno(), reading], [], [], _IDLE)
            if reading in ready:
                os.read(reading, 4096)
            self._wake({task_id for one in connection.notifies(timeout=0) for task_id in one.payload.split("\n")})

    def _wake(self, task_ids: set[str] | None) -> None:
        """Wake the watches of these ids; ``None``: of all."""
        with self._lock:
            ids = self._wakes.keys() if task_ids is None else task_ids & self._wakes.keys()
            wakes = [wake for task_id in ids for wake in self._wakes[task_id]]
        for wake in dict.fromkeys(wakes):
            wake()
