"""``worker.timer``: functions that are called later, or again and again, on a thread of the worker."""

import heapq
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

_log = logging.getLogger("celery.worker")
_ENDS_WITHIN = 5.0
"""Seconds for which the worker's stop waits for a function that runs."""


class Entry:
    """A function and its arguments; ``cancel`` ends it."""

    def __init__(
        self, fun: Callable[..., Any], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> None:
        self.fun = fun
        self.args = tuple(args)
        self.kwargs = dict(kwargs or {})
        self.canceled = False

    def __call__(self) -> Any:
        return self.fun(*self.args, **self.kwargs)

    def cancel(self) -> None:
        self.canceled = True

    @property
    def cancelled(self) -> bool:
        return self.canceled

    def __repr__(self) -> str:
        return f"<Entry: {self.fun!r}>"


class Timer:
    """Calls functions at their time. Its thread starts with the first of them."""

    def __init__(self, on_exit: Callable[[SystemExit], object] | None = None, **options: Any) -> None:
        """``on_exit``: called with the SystemExit that a function raises; ``options`` of Celery's are not needed."""
        self._on_exit = on_exit
        self._queue: list[tuple[float, int, Entry]] = []
        self._number = 0
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._stopped = False

    def call_after(
        self, secs: float, fun: Callable[..., Any], args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None, priority: int = 0,
    ) -> Entry:  # fmt: skip
        """Call ``fun`` once, ``secs`` seconds from now."""
        return self._enter(time.monotonic() + secs, Entry(fun, args, kwargs))

    def call_at(
        self, eta: datetime | float, fun: Callable[..., Any], args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None, priority: int = 0,
    ) -> Entry:  # fmt: skip
        """Call ``fun`` once, at a datetime or a unix time."""
        return self.call_after(to_timestamp(eta) - time.time(), fun, args, kwargs)

    def call_repeatedly(
        self, secs: float, fun: Callable[..., Any], args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None, priority: int = 0,
    ) -> Entry:  # fmt: skip
        """Call ``fun`` every ``secs`` seconds, first in ``secs`` seconds, until the entry is cancelled."""
        entry = Entry(fun, args, kwargs)

        def again() -> None:
            if not entry.canceled:
                self.call_after(secs, again)
                entry()

        self.call_after(secs, again)
        return entry

    def enter_after(self, secs: float, entry: Entry, priority: int = 0) -> Entry:
        return self._enter(time.monotonic() + secs, entry)

    def cancel(self, tref: Entry) -> None:
        tref.cancel()

    def _enter(self, at: float, entry: Entry) -> Entry:
        with self._changed:
            self._number += 1
            heapq.heappush(self._queue, (at, self._number, entry))
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="canvas-timer", daemon=True)
                self._thread.start()
            self._changed.notify()
        return entry

    def _run(self) -> None:
        while (entry := self._next()) is not None:
            if entry.canceled:
                continue
            try:
                entry()
            except SystemExit as exc:
                if self._on_exit is not None:
                    self._on_exit(exc)
            except Exception:  # noqa: BLE001 - it is the user's code; it is logged, and the next call is made
                _log.exception("Error in timer: %r", entry)

    def _next(self) -> Entry | None:
        """The next entry, when it is due; ``None`` after the end."""
        with self._changed:
            while not self._stopped:
                left = self._queue[0][0] - time.monotonic() if self._queue else None
                if left is not None and left <= 0:
                    return heapq.heappop(self._queue)[2]
                self._changed.wait(left)
        return None

    def clear(self) -> None:
        """Forget all entries."""
        with self._changed:
            self._queue.clear()

    def stop(self) -> None:
        """Call nothing more, and wait some seconds for a function that runs now."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(_ENDS_WITHIN)


def to_timestamp(at: datetime | float, **zones: Any) -> float:
    """A datetime as a unix time; numbers stay."""
    return at.timestamp() if isinstance(at, datetime) else at
