"""``app.steps`` and ``app.user_options``: what programs add to a worker and to the command line."""

from collections import defaultdict
from typing import Any

from canvas.app.application import Canvas


def named_sets(app: Canvas) -> defaultdict[str, set[Any]]:
    """Empty sets by name."""
    return defaultdict(set)
