"""How much of a timeout is left."""

import math
import time
from collections.abc import Callable
from typing import Any

_INTERVAL = 1.0


def deadline(timeout: float | None) -> Callable[[], float | None]:
    """What tells how many of these seconds are left, from now on; ``None`` where there is no end."""
    deadline = math.inf if timeout is None else time.monotonic() + timeout
    return lambda: None if timeout is None else max(0.0, deadline - time.monotonic())


def between(left: float | None, on_interval: Callable[[], Any] | None) -> float | None:
    """How long to wait at once: all that is ``left``, or a second at most where ``on_interval``, which is called, is to
    be called again."""
    if on_interval is None:
        return left
    on_interval()
    return _INTERVAL if left is None else min(_INTERVAL, left)
