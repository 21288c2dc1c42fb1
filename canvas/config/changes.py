"""Changes of the object that an app's settings come from."""

from collections.abc import Iterator, Mapping
from typing import Any

from canvas.config.kinds import WRONG


def changes(before: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The names whose values differ, with the later value; ``WRONG`` for one that is gone."""
    for name in {**before, **found}:
        value = found.get(name, WRONG)
        if value is not before.get(name, WRONG):
            yield name, value
