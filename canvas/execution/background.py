"""Functions that are called again and again on a thread of their own: background services of workers and of beat."""

import threading
from collections.abc import Callable

from canvas.errors import BrokerError
from canvas.telemetry import emit

RETRY_EVERY = 1.0
"""Seconds until the next try of a call that has failed."""
NEVER = float("inf")


class Repeated:
    """A call that is made again and again, and survives its failures.

    Each failure because of the broker is the event ``broker.unreachable``, and the first success after it
    ``broker.recovered``. Any other failure is the event ``worker.internal_error``.
    """

    def __init__(
        self, name: str, call: Callable[[], float], retry_every: float = RETRY_EVERY,
        after_failure: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        """``call`` returns the seconds until it is due again. ``after_failure`` is called when it has failed because of
        the broker. ``name`` says in an internal error which call failed."""
        self._name = name
        self._call = call
        self._retry_every = retry_every
        self._after_failure = after_failure
        self._unreachable = False

    def __call__(self) -> float:
        """Call now. Returns the seconds until the next call is due."""
        try:
            seconds = self._call()
        except BrokerError as exc:
            self._unreachable = True
            self._after_failure()
            emit("broker.unreachable", error=str(exc))
            return self._retry_every
        except Exception as exc:  # noqa: BLE001 - the thread goes on: other threads count on its work
            emit("worker.internal_error", work=self._name, exc=exc)
            return self._retry_every
        if self._unreachable:
            self._unreachable = False
            emit("broker.recovered")
        return seconds


class BackgroundService:
    """Calls ``tick`` on a daemon thread from ``start`` to ``stop``; between two calls the thread sleeps for the seconds
    that ``tick`` returned."""

    def __init__(self, name: str, tick: Callable[[], float], last: Callable[[], object] | None = None) -> None:
        """``name``: the thread's, after ``canvas-``. ``last`` is called on the thread when it ends."""
        self._name = name
        self._tick = tick
        self._last = last
        self._wake = threading.Event()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread, unless it runs."""
        if not self.is_alive():
            self._thread = threading.Thread(target=self._run, name=f"canvas-{self._name}", daemon=True)
            self._thread.start()

    def wake(self) -> None:
        """End the sleep before the next call. Safe from any thread."""
        self._wake.set()

    def stop(self, within: float = 0.0) -> None:
        """End after the call in progress, for which this waits ``within`` seconds at most. Safe from any thread."""
        self._stopped.set()
        self._wake.set()
        if within and self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(within)

    @property
    def stopped(self) -> bool:
        """Whether the thread has ended, or ends after the call in progress."""
        return self._stopped.is_set()

    def is_alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _run(self) -> None:
        while not self._stopped.is_set():
            seconds = self._tick()
            self._wake.wait(None if seconds == NEVER else max(0.0, seconds))
            self._wake.clear()
        if self._last is not None:
            self._last()
