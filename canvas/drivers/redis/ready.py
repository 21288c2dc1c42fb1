"""A chord that is ready, as the scripts tell it."""

from collections.abc import Sequence
from typing import Any

from canvas.model.settlement import Ready


def ready_of(found: Sequence[Any]) -> Ready:
    """A ready chord from a script's answer: group, what firing it needs, parts, structure."""
    group_id, fire, parts, structure = found
    return Ready(group_id.decode(), fire, parts, structure)
