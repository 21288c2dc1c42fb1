"""Names of ``celery.utils.time``."""

import random
from datetime import datetime, timedelta
from typing import Any

from canvas.task.limits import rate_to_interval


def maybe_timedelta(delta: Any) -> Any:
    """Seconds as a timedelta; other values are returned as they are."""
    return timedelta(seconds=delta) if isinstance(delta, int | float) else delta


def maybe_iso8601(dt: datetime | str | None) -> datetime | None:
    """ISO 8601 text as a datetime. Raises ValueError."""
    return datetime.fromisoformat(dt) if isinstance(dt, str) and dt else dt or None


def rate(r: Any) -> float:
    """A rate such as ``"10/m"`` in tasks a second; 0 for none. Raises ConfigurationError."""
    interval = rate_to_interval(r) if r else None
    return 1 / interval if interval else 0


def get_exponential_backoff_interval(factor: int, retries: int, maximum: int, full_jitter: bool = False) -> int:
    """Seconds until the next try: ``factor * 2 ** retries``, at most ``maximum``; with jitter a random part of it."""
    countdown = min(maximum, factor * (2**retries))
    return max(0, random.randrange(countdown + 1) if full_jitter else countdown)
