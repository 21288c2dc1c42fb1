"""``app.steps`` and ``app.user_options``: the steps that programs add to a worker, and the options that they add to
commands."""

from collections import defaultdict
from typing import Any

from canvas.app.application import Canvas


def named_sets(app: Canvas) -> defaultdict[str, set[Any]]:
    """Empty sets by name."""
    return defaultdict(set)
