"""How long to wait before a task that failed runs again by itself (Celery's ``retry_backoff``)."""

import random


def retry_delay(factor: float, retries: int, maximum: float, jitter: bool) -> int:
    """Whole seconds: ``factor`` doubled for each retry so far, at most ``maximum``.

    With ``jitter``, any number of seconds up to that.
    """
    delay = int(min(maximum, factor * 2**retries))
    return random.randrange(delay + 1) if jitter else max(0, delay)
