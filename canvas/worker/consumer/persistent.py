"""Calls to the broker that are repeated until it takes them."""

import time
from collections.abc import Callable
from typing import TypeVar

from canvas.errors import BrokerError
from canvas.telemetry import emit

T = TypeVar("T")
_LOOKS_EVERY = 0.1


class Persistent:
    """Repeats calls for as long as the process is to go on."""

    stopping: bool
    leases_uncertain: bool
    """The broker was unreachable: it may have come back as a copy that has forgotten how some leases ended."""

    def persist(self, call: Callable[[], T], ends: Callable[[], bool] = bool) -> T:
        """Repeat a call until the broker takes it: what is finished waits here, and is not run again.

        Raises BrokerError when the broker is unreachable and ``ends()`` is true.
        """
        try:
            return call()
        except BrokerError as exc:
            return self.repeat(call, exc, ends)

    def repeat(self, call: Callable[[], T], failure: BrokerError, ends: Callable[[], bool] = bool) -> T:
        """As ``persist``, for a call that was tried once and ended in ``failure``."""
        self.leases_uncertain = True
        emit("broker.unreachable", error=str(failure))
        delay = 0.1
        while not ends():
            self._pause(delay)
            delay = min(delay * 2, 5.0)
            try:
                answer = call()
            except BrokerError as exc:
                self.leases_uncertain, failure = True, exc
            else:
                emit("broker.recovered")
                return answer
        raise failure

    def attempt(self, call: Callable[[], T]) -> T | None:
        """Repeat a call that may be left out where the broker is unreachable and the process is to end: ``None`` then.

        Other workers return what this process leased when its heartbeat has expired.
        """
        try:
            return call()
        except BrokerError as exc:
            return self.attempt_again(call, exc)

    def attempt_again(self, call: Callable[[], T], failure: BrokerError) -> T | None:
        """As ``attempt``, for a call that was tried once and ended in ``failure``."""
        try:
            return self.repeat(call, failure, lambda: self.stopping)
        except BrokerError:
            return None

    def _pause(self, seconds: float) -> None:
        """Sleep; a process that is to stop meanwhile goes on at once."""
        until, before = time.monotonic() + seconds, self.stopping
        while (left := until - time.monotonic()) > 0 and self.stopping == before:
            time.sleep(min(left, _LOOKS_EVERY))
