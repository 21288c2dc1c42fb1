"""A value that a process shares with the processes that it forks."""

import fcntl
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import msgpack

T = TypeVar("T")


class SharedDict:
    """A mapping of text to values that msgpack can write, in a file without a name."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - it lives as long as this object
        self._lock = threading.Lock()

    def disinherit(self) -> None:
        """In a forked process: take another lock of threads. That of the file is the process's own."""
        self._lock = threading.Lock()

    @contextmanager
    def _locked(self) -> Iterator[int]:
        with self._lock:
            number = self._file.fileno()
            fcntl.lockf(number, fcntl.LOCK_EX)
            try:
                yield number
            finally:
                fcntl.lockf(number, fcntl.LOCK_UN)

    def read(self) -> dict[str, Any]:
        """A copy of the mapping."""
        with self._locked() as number:
            return _read(number)

    def change(self, do: Callable[[dict[str, Any]], T]) -> T:
        """Let ``do`` change the mapping, while no other process can. Returns the value of ``do``."""
        with self._locked() as number:
            found = _read(number)
            result = do(found)
            data = msgpack.packb(found)
            os.ftruncate(number, 0)
            os.pwrite(number, data, 0)
        return result


def _read(number: int) -> dict[str, Any]:
    data = os.pread(number, os.fstat(number).st_size, 0)
    return msgpack.unpackb(data) if data else {}
