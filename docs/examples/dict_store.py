"""A result store of one's own: ``result_backend = "docs.examples.dict_store:DictStore"``.

It keeps records in a dictionary of the process. Chords are ended by ``celery.chord_unlock``, because the store does not
count their parts. The tests of canvas run the published contract, ``ResultStoreContract``, on this class.
"""

import asyncio
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from canvas.drivers.polling import AsyncPollingWatch, PollingWatch
from canvas.model.settlement import ResultWrite


class DictStore:
    """The protocol is ``ResultStore`` in ``canvas.drivers.ports.results``."""

    kept: dict[str, tuple[bytes, float, bool]] = {}
    """By key: a value, when it expires, whether it is a success."""
    expires_records = True
    serializer = None
    shared = True

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        """``url``: the setting, or what follows the ``+`` in it. ``options``: ``serializer``, ``expires`` (a function
        that returns ``result_expires``), and those of ``result_backend_transport_options``."""
        self._lock = threading.Lock()

    def _value(self, key: str) -> bytes | None:
        value, until, _ = self.kept.get(key, (None, 0.0, False))
        return value if until > time.time() else None

    def _keep(self, key: str, value: bytes, seconds: int | None, success: bool = False) -> None:
        self.kept[key] = value, time.time() + seconds if seconds else float("inf"), success

    def get(self, task_ids: Sequence[str], retry: bool = True) -> list[bytes | None]:
        return [self._value(f"task-{task_id}") for task_id in task_ids]

    async def aget(self, task_ids: Sequence[str]) -> list[bytes | None]:
        return await asyncio.to_thread(self.get, task_ids)

    def read_prefix(self, task_ids: Sequence[str], size: int) -> list[bytes]:
        return [(value or b"")[:size] for value in self.get(task_ids)]

    async def aread_prefix(self, task_ids: Sequence[str], size: int) -> list[bytes]:
        return await asyncio.to_thread(self.read_prefix, task_ids, size)

    def store(self, stores: Sequence[ResultWrite]) -> None:
        for one in stores:
            key = f"task-{one.task_id}"
            with self._lock:
                # A task may run twice; its first success stays.
                if self._value(key) is None or not self.kept[key][2]:
                    self._keep(key, one.payload, one.expires, one.success)

    def forget(self, task_ids: Sequence[str]) -> None:
        for task_id in task_ids:
            self.kept.pop(f"task-{task_id}", None)

    @contextmanager
    def watch(self, task_ids: Sequence[str]):
        yield PollingWatch(self.get, task_ids, threading.Event())

    @asynccontextmanager
    async def awatch(self, task_ids: Sequence[str]):
        yield AsyncPollingWatch(self.aget, task_ids, asyncio.Event())

    def save_group(self, group_id: str, payload: bytes, expires: int | None) -> None:
        self._keep(f"group-{group_id}", payload, expires)

    def get_group(self, group_id: str) -> bytes | None:
        return self._value(f"group-{group_id}")

    def delete_group(self, group_id: str) -> None:
        self.kept.pop(f"group-{group_id}", None)

    def cleanup(self, seconds: float) -> int:
        gone = [key for key, (_, until, _) in self.kept.items() if until <= time.time()]
        for key in gone:
            del self.kept[key]
        return len(gone)

    def close(self) -> None:
        """There is no connection to close."""
