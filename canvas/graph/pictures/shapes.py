"""The parts of a picture of a workflow, for all forms of pictures."""

from dataclasses import dataclass, field
from typing import Literal

COLOURS = {
    "SUCCESS": "#b7e1b5", "FAILURE": "#f4b0a8", "UPSTREAM_FAILED": "#f7d9b0", "STARTED": "#f9eda0", "RETRY": "#f9eda0",
    "REVOKED": "#d6c3e8", "SKIPPED": "#e4e4e4", "PENDING": "#cfe2f5", "WAITING": "#ffffff", "SLEEPING": "#cfe2f5",
    "AWAITING_SIGNAL": "#f9eda0", "AWAITING_TASK": "#f9eda0",
}  # fmt: skip
"""A node's colour by its state."""
MARKS = {
    "SUCCESS": "✔", "FAILURE": "✘", "UPSTREAM_FAILED": "⊘", "STARTED": "▶", "RETRY": "↻", "REVOKED": "⊗",
    "SKIPPED": "–", "PENDING": "…", "WAITING": "·", "SLEEPING": "z", "AWAITING_SIGNAL": "?", "AWAITING_TASK": "?",
}  # fmt: skip
"""A node's mark in text by its state."""

_MANY = 3
"""From this number of boxes with the same targets on, their lines are drawn as one bundle."""
Kind = Literal[
    "task", "map", "choose", "merge", "start", "end", "join", "more", "sleep", "wait", "otherwise", "loop", "flow",
    "input", "pages",
]  # fmt: skip


@dataclass(slots=True)
class Box:
    """A node of a picture."""

    label: str
    kind: Kind = "task"
    state: str = ""
    short: str = ""
    """A shorter label, for little room; empty: the label itself."""


@dataclass(slots=True)
class Edge:
    """A line between two boxes, known by their places in the picture."""

    before: int
    after: int
    order: bool = False
    """Nothing is passed."""
    arm: str | None = None
    """The value for which a branch goes this way."""


@dataclass(slots=True)
class Picture:
    """A picture: boxes, and the lines between them, which are free of cycles."""

    boxes: list[Box] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)


def bundled(picture: Picture) -> Picture:
    """The picture with one place where lines meet, instead of a line from each of many boxes to each of several."""
    parents: list[list[tuple[int, bool]]] = [[] for _ in picture.boxes]
    for edge in picture.edges:
        if edge.arm is None:
            parents[edge.after].append((edge.before, edge.order))
    together: dict[tuple[tuple[int, bool], ...], list[int]] = {}
    for number, before in enumerate(parents):
        if len(before) >= _MANY:
            together.setdefault(tuple(sorted(before)), []).append(number)
    merged = {before: after for before, after in together.items() if len(after) > 1}
    moved = {number for after in merged.values() for number in after}
    boxes = list(picture.boxes)
    edges = [edge for edge in picture.edges if edge.after not in moved or edge.arm is not None]
    for parents_alike, children in merged.items():
        boxes.append(Box(f"all {len(parents_alike)}", "join"))
        edges += [Edge(number, len(boxes) - 1, order) for number, order in parents_alike]
        edges += [Edge(len(boxes) - 1, number, all(order for _, order in parents_alike)) for number in children]
    return Picture(boxes, edges)
