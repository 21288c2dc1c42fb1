"""Pictures of large runs: nodes that are alike share one box."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from canvas.graph.pictures.drawing import picture_of_run
from canvas.graph.pictures.shapes import Box, Edge, Picture
from canvas.graph.pictures.svg import Arrangement, arranged
from canvas.model.workflow_run import RunNode

_FEW = 120
"""Nodes of a run that all have boxes of their own: as many as are read without effort."""
_BANDS = 40
"""Boxes of a graph that is deeper than ``_FEW``: nodes share one that are in the same stretch of its depth."""


@dataclass(slots=True)
class RunPicture:
    """A picture of a run at its places."""

    arrangement: Arrangement
    members: list[list[int]]
    """For each box, the numbers of the nodes that it stands for."""
    keys: list[str]
    """For each box, the name under which it is expanded; empty for a box of one node."""


def run_picture(nodes: Sequence[RunNode], expanded: Collection[str] = ()) -> RunPicture:
    """The picture of a run's nodes, those that are alike in one box where there are many. ``expanded``: the keys of
    boxes whose nodes have boxes of their own."""
    whole = picture_of_run(nodes, {})
    numbers = [number for number, node in enumerate(nodes) if node.kind not in ("start", "end")]
    groups = [[place] for place in range(len(whole.boxes))]
    keys, stretches = [""] * len(groups), False
    if len(groups) > _FEW:
        marks, stretches = _few_marks(nodes, numbers, whole)
        groups, keys = _shared(nodes, numbers, marks, expanded)
    home = {place: at for at, group in enumerate(groups) for place in group}
    boxes = [_box(whole, group, stretches) for group in groups]
    edges: dict[tuple[int, int], Edge] = {}
    for edge in whole.edges:
        before, after = home[edge.before], home[edge.after]
        if before != after:
            known = edges.setdefault((before, after), Edge(before, after, edge.order, edge.arm))
            known.order = known.order and edge.order
    found = arranged(Picture(boxes, list(edges.values())))
    return RunPicture(found, [[numbers[place] for place in group] for group in groups], keys)


def _few_marks(nodes: Sequence[RunNode], numbers: list[int], whole: Picture) -> tuple[list[object], bool]:
    """For each box a mark: nodes of equal marks share a box. Nodes that are alike have equal marks. If that leaves many
    boxes, nodes of one task at one depth of the graph have. If these are still many, all nodes in a range of depths
    have; the second value is True then."""
    marks = _alike(nodes, numbers, whole)
    if len(set(marks)) <= _FEW:
        return marks, False
    depths = _depths(whole)
    marks = [(box.kind, _task(nodes[numbers[place]]), depths[place]) for place, box in enumerate(whole.boxes)]
    if len(set(marks)) <= _FEW:
        return marks, False
    last = max(depths)
    return [depth * _BANDS // (last + 1) for depth in depths], True


def _box(whole: Picture, group: list[int], stretch: bool) -> Box:
    first, last = whole.boxes[group[0]], whole.boxes[group[-1]]
    if len(group) == 1:
        return first
    name = f"{first.label:.20} … {last.label:.20}" if stretch else _stem(first.label)
    return Box(f"{name} × {len(group):,}", "task" if stretch else first.kind)


def _stem(label: str) -> str:
    """The name without the number that distinguishes nodes of one task."""
    stem, dash, number = label.rpartition("-")
    return stem if dash and number.split(" ")[0].isdigit() else label


def _task(node: RunNode) -> str:
    return str(node.sig["task"]) if node.sig is not None else ""


def _alike(nodes: Sequence[RunNode], numbers: list[int], whole: Picture) -> list[object]:
    """For each box a mark: nodes of one task with the same parents and children have equal marks."""
    parents: list[set[int]] = [set() for _ in whole.boxes]
    children: list[set[int]] = [set() for _ in whole.boxes]
    for edge in whole.edges:
        parents[edge.after].add(edge.before)
        children[edge.before].add(edge.after)
    return [
        (box.kind, _task(nodes[numbers[place]]), frozenset(parents[place]), frozenset(children[place]))
        for place, box in enumerate(whole.boxes)
    ]


def _depths(whole: Picture) -> list[int]:
    """For each box, the length of the longest path that leads to it."""
    depths = [0] * len(whole.boxes)
    after: dict[int, list[int]] = {}
    for edge in whole.edges:
        after.setdefault(edge.before, []).append(edge.after)
    for place in range(len(whole.boxes)):  # nodes are in topological order
        for follower in after.get(place, ()):
            depths[follower] = max(depths[follower], depths[place] + 1)
    return depths


def _shared(
    nodes: Sequence[RunNode], numbers: list[int], marks: list[object], expanded: Collection[str]
) -> tuple[list[list[int]], list[str]]:
    """The boxes of each mark together, unless they are expanded; and their keys."""
    together: dict[object, list[int]] = {}
    for place, mark in enumerate(marks):
        together.setdefault(mark, []).append(place)
    groups, keys = [], []
    for members in together.values():
        key = nodes[numbers[members[0]]].name if len(members) > 1 else ""
        if key and key in expanded:
            groups += [[place] for place in members]
            keys += [""] * len(members)
        else:
            groups.append(members)
            keys.append(key)
    return groups, keys
