"""When to try again, as a retry policy of Celery's says."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

_INTERVALS = {"start": 0.0, "step": 0.2, "max": 1.0}

Delays: TypeAlias = Iterable[float] | None
"""Seconds to wait before each further try while the server is away; ``None``: the driver's own, some seconds in all."""


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
