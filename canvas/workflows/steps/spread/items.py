"""The items of a map: of nested lists, in batches, in pages. Pure, except for the reading of a page."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from canvas.errors import CompositionError
from canvas.model.workflow_run import PAGE, RunNode


class Outline(NamedTuple):
    """The record of a map that has begun."""

    size: int
    """How many tasks it runs: of its items, or of batches of them."""
    digest: str
    items: int = 0
    """How many items it has; not known of a map over pages."""


class Paged(Sequence[Any]):
    """Items that are read page by page."""

    def __init__(self, page: Callable[[int], list[Any]], size: int) -> None:
        self._page = page
        self._size = size

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, at: Any) -> Any:
        return self._page(at // PAGE)[at % PAGE]


def items_in(whole: Any, node: RunNode) -> list[Any]:
    """The items of a map, or its batches of them. Raises CompositionError for a value that is not a list."""
    items, size = leaves(whole, node.depth, node.name), node.details.get("batch")
    return [items[at : at + size] for at in range(0, len(items), size)] if size else items


def leaves(whole: Any, depth: int, name: str) -> list[Any]:
    """The items of lists that are nested ``depth`` levels deep. Raises CompositionError for other values."""
    if not isinstance(whole, list | tuple):
        raise CompositionError(f"{name}: expected a list to map over; got {type(whole).__name__} {whole!r:.100}")
    if depth == 1:
        return list(whole)
    return [leaf for inner in whole for leaf in leaves(inner, depth - 1, name)]


def nested(whole: Sequence[Any], depth: int, values: Iterator[Any]) -> list[Any]:
    """``values`` in lists of the same shape."""
    if depth == 1:
        return [next(values) for _ in whole]
    return [nested(inner, depth - 1, values) for inner in whole]
