"""Repeats calls while a server is unreachable, at the intervals of a retry policy as in Celery."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias, TypeVar

from canvas.errors import OperationalError
from canvas.interruptions import raise_interruption

T = TypeVar("T")
_INTERVALS = {"start": 0.0, "step": 0.2, "max": 1.0}
_KEYS = ("max_retries", "interval_start", "interval_step", "interval_max", "errback", "on_revive", "retry_errors")
"""The keys of a policy: the parameters of kombu's ``Connection.ensure``."""

Delays: TypeAlias = Iterable[float] | None
"""Seconds to wait before each further try while the server is unreachable; ``None``: the driver's own, some seconds in
all."""
PAUSES = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
"""Seconds before each further try of a driver that has no others."""


def check_policy(policy: Mapping[str, Any], where: str) -> None:
    """Raise TypeError for a key that no retry policy has. ``where`` names the policy in the error."""
    unknown = [key for key in policy if key not in _KEYS]
    if unknown:
        raise TypeError(f"{where}: unknown key {unknown[0]!r:.100}; expected {', '.join(_KEYS)}")


def delays(policy: Mapping[str, Any]) -> Iterator[float]:
    """Seconds before each further try: ``interval_start`` growing by ``interval_step`` up to ``interval_max``.

    ``max_retries`` of them; without an end where that is ``None``.
    """
    left = policy.get("max_retries", 3)
    delay, step, most = (policy.get(f"interval_{name}", value) for name, value in _INTERVALS.items())
    while left is None or left > 0:
        yield min(delay, most)
        delay += step
        left = None if left is None else left - 1


def tried(call: Callable[[], T], delays: Delays = None, failure: type[Exception] = OperationalError) -> T:
    """The value of ``call``. While it raises a ``failure``, it is made again after each of ``delays``; then the latest
    failure is raised. An exception of a signal's handler is raised at once."""
    left = iter(PAUSES if delays is None else delays)
    while True:
        try:
            return call()
        except failure as exc:
            raise_interruption(exc)
            pause = next(left, None)
            if pause is None:
                raise
            time.sleep(pause)
