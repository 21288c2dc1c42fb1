"""The chords that wait for a message, and are kept for it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from canvas.app.application import Canvas
from canvas.model.message import Message
from canvas.model.settlement import Keep

_DEEPEST = 200


def chords_in(embed: Any) -> set[str]:
    """The ids of the chords that wait for a message, by what it carries: ``embed`` is a chord signature, a list of
    signatures, or a mapping of such."""
    return set(_chords(embed, _DEEPEST))


def _chords(value: Any, depth: int) -> Iterator[str]:
    if depth <= 0:
        return
    if isinstance(value, Mapping):
        if value.get("chord") and isinstance(value.get("group_id"), str):
            yield value["group_id"]
        for inner in value.values():
            if isinstance(inner, Mapping | list | tuple):
                yield from _chords(inner, depth - 1)
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        for inner in value:
            if isinstance(inner, Mapping | list | tuple):
                yield from _chords(inner, depth - 1)


def keeps(app: Canvas, message: Message, due: float | None = None) -> list[Keep]:
    """The chords that wait for a message, to be kept while it runs, or until unix time ``due`` and as long again as
    they would be kept otherwise. Their sender may have let them expire sooner."""
    if app.driver.results is None:
        return []
    groups = chords_in(message.embed)
    own = message.headers.get("group")
    if message.embed["chord"] and isinstance(own, str):
        groups.add(own)
    seconds = app.backend.chord_lives
    if seconds and due is not None:
        seconds += max(0, int(due - app.now().timestamp()))
    return [Keep(group, seconds) for group in sorted(groups)]
