"""How much of a timeout is left."""

import math
import time
from collections.abc import Callable


def countdown(timeout: float | None) -> Callable[[], float | None]:
    """What tells how many of these seconds are left, from now on; ``None`` where there is no end."""
    deadline = math.inf if timeout is None else time.monotonic() + timeout
    return lambda: None if timeout is None else max(0.0, deadline - time.monotonic())
