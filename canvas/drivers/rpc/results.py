"""``rpc://``: a result is a message to the queue of the process that sent the task. No other process can read it."""

import atexit
import os
import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import NoReturn, Protocol

from canvas.drivers.memory.records import MemoryRecords
from canvas.drivers.memory.results import MemoryResults
from canvas.drivers.ports.results import AsyncWatch, Watch
from canvas.drivers.rpc.reader import ReplyReader
from canvas.errors import NoResultBackend
from canvas.forks import in_forks
from canvas.model.settlement import ResultWrite
from canvas.wire.record import says_success

_CURE = "set result_backend to a redis:// or db+… URL, whose results every process can read"
_FORGETS_EVERY = 1000
"""Results after which those that have expired are dropped."""


class ReplyQueue(Protocol):
    """The queue of this process for results, in a broker."""

    expires: int | None
    """Seconds for which a result is kept; ``None``: without an end."""
    answer_within: float
    """Seconds in which the broker answers."""

    @property
    def named(self) -> bool:
        """Whether a task that this process sent may send its result to it."""

    def begin(self) -> None:
        """Start anew, as a new or a forked process does."""

    def reader(self, keep: Callable[[object, bytes], None]) -> ReplyReader:
        """The reader, not yet started. ``keep`` takes the task id and the record of each message."""

    def publish(self, stores: Sequence[ResultWrite]) -> None:
        """Send records to the queues that they name; others are dropped."""

    def delete(self) -> None:
        """Delete the queue, if it exists."""


class RpcResults:
    """The ResultStore of ``canvas.drivers.ports``, as far as this process sends the tasks."""

    expires_records = True
    shared = False
    serializer = None

    def __init__(self, queue: ReplyQueue) -> None:
        self._queue = queue
        self._begin()
        in_forks(self._begin)
        atexit.register(_close, weakref.ref(self), os.getpid())

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._records = MemoryRecords()
        self._kept = MemoryResults(self._records)
        self._reader: ReplyReader | None = None
        self._count = 0
        self._queue.begin()

    def _reading(self) -> MemoryResults:
        """The results that have come, once those that were in the queue have been read."""
        if not self._queue.named:
            raise NoResultBackend(
                "rpc:// results go to the process that sent the task, and this process has sent none: get the result "
                f"there, or {_CURE}"
            )
        with self._lock:
            if self._reader is None:
                self._reader = self._queue.reader(self._keep).start()
            reader = self._reader
        reader.wait_until_ready(self._queue.answer_within)
        return self._kept

    def _keep(self, task_id: object, payload: bytes) -> None:
        if isinstance(task_id, str):
            self._kept.store([ResultWrite(task_id, payload, self._queue.expires, says_success(payload))])
            self._count += 1
            if self._count % _FORGETS_EVERY == 0:
                with self._records.lock:
                    for one in list(self._records.records):
                        self._records.record(one)

    def get(self, task_ids: Sequence[str], retry: bool = True) -> list[bytes | None]:
        return self._reading().get(task_ids)

    async def aget(self, task_ids: Sequence[str]) -> list[bytes | None]:
        return (await self._areading()).get(task_ids)

    async def _areading(self) -> MemoryResults:
        if self._reader is not None:
            return self._reading()
        import asyncio

        return await asyncio.to_thread(self._reading)

    def read_prefix(self, task_ids: Sequence[str], size: int) -> list[bytes]:
        return self._reading().read_prefix(task_ids, size)

    async def aread_prefix(self, task_ids: Sequence[str], size: int) -> list[bytes]:
        return (await self._areading()).read_prefix(task_ids, size)

    def store(self, stores: Sequence[ResultWrite]) -> None:
        """Send records to the queues that they name; others are dropped."""
        self._queue.publish(stores)

    def forget(self, task_ids: Sequence[str]) -> None:
        self._kept.forget(task_ids)

    def watch(self, task_ids: Iterable[str]) -> AbstractContextManager[Watch]:
        return self._reading().watch(task_ids)

    def awatch(self, task_ids: Iterable[str]) -> AbstractAsyncContextManager[AsyncWatch]:
        return self._reading().awatch(task_ids)

    def save_group(self, group_id: str, payload: bytes, expires: int | None) -> None:
        self._refuse_groups()

    def get_group(self, group_id: str) -> bytes | None:
        self._refuse_groups()

    def delete_group(self, group_id: str) -> None:
        self._refuse_groups()

    def _refuse_groups(self) -> NoReturn:
        raise NoResultBackend(f"rpc:// results keep no GroupResult to be saved and restored: {_CURE}")

    def cleanup(self, seconds: float) -> int:
        return 0

    def close(self) -> None:
        """Delete the queue."""
        with self._lock:
            reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()
        self._queue.delete()


def _close(reference: "weakref.ref[RpcResults]", pid: int) -> None:
    """Close results at the end of the process that made them."""
    results = reference()
    if results is not None and os.getpid() == pid:
        results.close()
