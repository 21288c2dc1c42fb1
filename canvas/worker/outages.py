"""One report for all processes and threads of a node when the broker is unreachable, repeated with growing pauses."""

import fcntl
import mmap
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from canvas.forks import in_forks
from canvas.telemetry import attach, emit

_FIRST_PAUSE = 2.0
_LONGEST_PAUSE = 300.0
_NEXT, _PAUSE = range(2)
"""Cells: when the next report may be made (monotonic clock), and the pause before it; nanoseconds, 0: no outage."""


class Outages:
    """Makes ``broker.outage`` and ``broker.outage_over`` of the ``broker.unreachable`` and ``broker.recovered`` of a
    node.

    Every part of every process notices an outage separately. The processes that are forked after this object was made
    share its memory, so that one of them reports it.
    """

    def __init__(self) -> None:
        self._cells = memoryview(mmap.mmap(-1, 16)).cast("q")
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - locked while the cells are used, as long as this object lives
        self._unlock_in_forks()
        self._detach = [
            attach(self._unreachable, "broker.unreachable"),
            attach(self._recovered, "broker.recovered"),
            in_forks(self._unlock_in_forks),
        ]

    def close(self) -> None:
        """Report nothing more."""
        for detach in self._detach:
            detach()
        self._file.close()

    def _unlock_in_forks(self) -> None:
        self._lock = threading.Lock()

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """No other thread, and no other process, is in such a block."""
        with self._lock:
            fcntl.lockf(self._file, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.lockf(self._file, fcntl.LOCK_UN)

    def _unreachable(self, error: str, **_: Any) -> None:
        with self._exclusive():
            now = time.monotonic_ns()
            if now < self._cells[_NEXT]:
                return
            pause = min(max(2 * self._cells[_PAUSE], round(_FIRST_PAUSE * 1e9)), round(_LONGEST_PAUSE * 1e9))
            self._cells[_NEXT], self._cells[_PAUSE] = now + pause, pause
        emit("broker.outage", error=error)

    def _recovered(self, **_: Any) -> None:
        with self._exclusive():
            away = self._cells[_PAUSE] > 0
            self._cells[_NEXT] = self._cells[_PAUSE] = 0
        if away:
            emit("broker.outage_over")
