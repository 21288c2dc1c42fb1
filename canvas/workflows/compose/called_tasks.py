"""The tasks that a signature calls, with how many results each takes before its own arguments."""

from collections.abc import Iterator, Mapping
from typing import Any

_ONE_RESULT = 1


def calls_of(sig: Mapping[str, Any], before: int) -> Iterator[tuple[Mapping[str, Any], int]]:
    """Each task's signature and the number of arguments that come first; ``before``: those of the whole.

    Tasks of map, starmap and chunks are left out: their arguments are not known before they run.
    """
    if sig.get("immutable"):
        before = 0
    kind, kwargs = sig.get("subtask_type"), sig["kwargs"]
    if kind is None:
        yield sig, before
        return
    before += len(sig["args"])
    if kind == "chain":
        for place, step in enumerate(kwargs["tasks"]):
            yield from calls_of(step, _ONE_RESULT if place else before)
    elif kind == "group":
        for member in _members(kwargs["tasks"]):
            yield from calls_of(member, before)
    elif kind == "chord":
        for member in _members(kwargs["header"]):
            yield from calls_of(member, before)
        if kwargs.get("body") is not None:
            yield from calls_of(kwargs["body"], _ONE_RESULT)


def _members(tasks: Any) -> Any:
    """The members of a group that is given as a list of them or as a signature."""
    return tasks["kwargs"]["tasks"] if isinstance(tasks, Mapping) else tasks
