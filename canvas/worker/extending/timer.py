"""``worker.timer``: functions that are called later, or again and again, on a thread of the worker."""

import heapq
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Any

from canvas.execution.background import NEVER, BackgroundService
from canvas.wire.moments import aware

_log = logging.getLogger("celery.worker")
_ENDS_WITHIN = 5.0
"""Seconds for which the worker's stop waits for a function that runs."""
_CLOCK_STEP = 0.01
"""Seconds. A larger change of the offset between the clocks means that one of them was set."""


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
    """Calls functions at their time, those of one time by their ``priority``, 0 first. Its thread starts with the first
    of them."""

    def __init__(
        self, max_interval: float | None = None, on_error: Callable[[Exception], object] | None = None,
        on_exit: Callable[[SystemExit], object] | None = None,
    ) -> None:  # fmt: skip
        """``max_interval`` has no effect: the thread sleeps until the next call. ``on_error``: called with the
        exception that a function raises, which is logged otherwise. ``on_exit``: called with its SystemExit."""
        self._on_error = on_error
        self._on_exit = on_exit
        self._queue: list[tuple[float, int, int, Entry]] = []
        self._number = 0
        self._offset = time.time() - time.monotonic()
        """Seconds from the monotonic clock to unix time. It is kept while both run alike: calls of one unix time then
        have one monotonic time, and their priority decides."""
        self._lock = threading.Lock()
        self._service = BackgroundService("timer", self._call_due)

    def call_after(
        self, secs: float, fun: Callable[..., Any], args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None, priority: int = 0,
    ) -> Entry:  # fmt: skip
        """Call ``fun`` once, ``secs`` seconds from now."""
        return self.enter_after(secs, Entry(fun, args, kwargs), priority)

    def call_at(
        self, eta: datetime | float, fun: Callable[..., Any], args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None, priority: int = 0,
    ) -> Entry:  # fmt: skip
        """Call ``fun`` once, at a datetime or a unix time."""
        return self.enter_at(Entry(fun, args, kwargs), eta, priority)

    def call_repeatedly(
        self, secs: float, fun: Callable[..., Any], args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None, priority: int = 0,
    ) -> Entry:  # fmt: skip
        """Call ``fun`` every ``secs`` seconds, first in ``secs`` seconds, until the entry is cancelled."""
        entry = Entry(fun, args, kwargs)

        def again() -> None:
            if not entry.canceled:
                self.call_after(secs, again, priority=priority)
                entry()

        self.call_after(secs, again, priority=priority)
        return entry

    def enter_after(self, secs: float, entry: Entry, priority: int = 0) -> Entry:
        """Call an entry once, ``secs`` seconds from now."""
        return self._enter(time.monotonic() + float(secs), priority, entry)

    def enter_at(self, entry: Entry, eta: datetime | float | None = None, priority: int = 0) -> Entry:
        """Call an entry once, at a datetime or a unix time (default: now)."""
        if eta is None:
            return self.enter_after(0, entry, priority)
        offset = time.time() - time.monotonic()
        if abs(offset - self._offset) > _CLOCK_STEP:
            self._offset = offset
        return self._enter(to_timestamp(eta) - self._offset, priority, entry)

    def cancel(self, tref: Entry) -> None:
        tref.cancel()

    def _enter(self, at: float, priority: int, entry: Entry) -> Entry:
        with self._lock:
            self._number += 1
            heapq.heappush(self._queue, (at, priority, self._number, entry))
            self._service.start()
        self._service.wake()
        return entry

    def _call_due(self) -> float:
        """Call the functions that are due. Returns the seconds until the next one is."""
        while not self._service.stopped:
            with self._lock:
                left = self._queue[0][0] - time.monotonic() if self._queue else NEVER
                if left > 0:
                    return left
                entry = heapq.heappop(self._queue)[3]
            if not entry.canceled:
                self._call(entry)
        return NEVER

    def _call(self, entry: Entry) -> None:
        try:
            entry()
        except SystemExit as exc:
            if self._on_exit is not None:
                self._on_exit(exc)
        except Exception as exc:  # noqa: BLE001 - it is the user's code; its error is reported, and the next call is made
            if self._on_error is None:
                _log.exception("Error in timer: %r", entry)
            else:
                self._on_error(exc)

    def __len__(self) -> int:
        return len(self._queue)

    def __bool__(self) -> bool:
        return True

    def clear(self) -> None:
        """Forget all entries."""
        with self._lock:
            self._queue.clear()

    def stop(self) -> None:
        """Call nothing more, and wait some seconds for a function that runs now."""
        self._service.stop(_ENDS_WITHIN)


def to_timestamp(d: datetime | float, default_timezone: tzinfo | None = None) -> float:
    """A datetime as a unix time; numbers stay. One without a zone is taken to be in ``default_timezone``, or UTC."""
    if not isinstance(d, datetime):
        return d
    return aware(d, default_timezone or UTC).timestamp()
