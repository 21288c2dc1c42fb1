"""kombu's priority steps: a queue on Redis is a list for each, four of them by default (protocol.md §1.2)."""

from bisect import bisect_right
from collections.abc import Sequence

STEPS = (0, 3, 6, 9)


def step_of(priority: object, steps: Sequence[int] = STEPS) -> int:
    """The step that a message's priority falls into; that of 0 for a value that is not a priority."""
    try:
        value = max(0, min(9, int(priority)))  # type: ignore[call-overload]
    except (TypeError, ValueError):
        value = 0
    return steps[bisect_right(steps, value) - 1]
