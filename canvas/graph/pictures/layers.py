"""Where the boxes of a picture stand: in layers, each behind all that lead to it, with few crossings (Sugiyama).

Lengths have no unit: text counts characters, SVG counts pixels.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from canvas.graph.pictures.shapes import Edge, Picture

_SWEEPS = 4
_MOST_BENDS = 1_500
"""Places where long lines are led through layers; beyond that they are not led around boxes."""


@dataclass(slots=True, eq=False)
class Cell:
    """A box in its layer, or the place where a long line passes through one (``box`` is ``None``)."""

    box: int | None
    layer: int
    size: float
    start: float = 0.0
    order: bool = False
    before: "list[Cell]" = field(default_factory=list)
    after: "list[Cell]" = field(default_factory=list)

    @property
    def middle(self) -> float:
        return self.start + self.size / 2


@dataclass(slots=True, eq=False)
class Hop:
    """A line from a cell to one in the next layer, or, if it is not ``led``, in a later one."""

    before: Cell
    after: Cell
    order: bool
    arm: str | None = None
    led: bool = True


@dataclass(slots=True)
class Layout:
    """Cells by layer, from left to right, and the lines between them."""

    layers: list[list[Cell]]
    hops: list[Hop]

    @property
    def width(self) -> float:
        return max((layer[-1].start + layer[-1].size for layer in self.layers if layer), default=0.0)


def layout(picture: Picture, size: Callable[[int], float], thin: float, gap: float) -> Layout:
    """Arrange a picture: ``size`` of each box along its layer, ``thin`` that of a line, ``gap`` between two."""
    depths = _depths(len(picture.boxes), picture.edges)
    layers: list[list[Cell]] = [[] for _ in range(max(depths, default=-1) + 1)]
    cells = [Cell(number, depth, size(number)) for number, depth in enumerate(depths)]
    for cell in cells:
        layers[cell.layer].append(cell)
    hops = _hops(picture.edges, cells, layers, thin)
    for hop in hops:
        if hop.led:
            hop.before.after.append(hop.after)
            hop.after.before.append(hop.before)
    _order(layers)
    _place(layers, gap)
    return Layout(layers, hops)


def _depths(boxes: int, edges: Iterable[Edge]) -> list[int]:
    """For each box the length of the longest way to it."""
    after: list[list[int]] = [[] for _ in range(boxes)]
    waits = [0] * boxes
    for edge in edges:
        after[edge.before].append(edge.after)
        waits[edge.after] += 1
    depths, free = [0] * boxes, [number for number in range(boxes) if not waits[number]]
    for number in free:
        for follower in after[number]:
            depths[follower] = max(depths[follower], depths[number] + 1)
            waits[follower] -= 1
            if not waits[follower]:
                free.append(follower)
    return depths


def _hops(edges: Sequence[Edge], cells: Sequence[Cell], layers: list[list[Cell]], thin: float) -> list[Hop]:
    """Lead long lines through every layer on their way; lines of one kind from one box share their way."""
    hops: list[Hop] = []
    together: dict[tuple[int, bool], list[Cell]] = {}
    bends = 0
    for edge in sorted(edges, key=lambda edge: cells[edge.after].layer):
        before, after = cells[edge.before], cells[edge.after]
        way = together.setdefault((edge.before, edge.order), [before])
        missing = after.layer - before.layer - len(way)
        if bends + missing > _MOST_BENDS:
            hops.append(Hop(before, after, edge.order, edge.arm, led=False))
            continue
        for _ in range(missing):
            bends += 1
            bend = Cell(None, way[-1].layer + 1, thin, order=edge.order)
            layers[bend.layer].append(bend)
            hops.append(Hop(way[-1], bend, edge.order))
            way.append(bend)
        hops.append(Hop(way[after.layer - before.layer - 1], after, edge.order, edge.arm))
    return hops


def _order(layers: list[list[Cell]]) -> None:
    """Put each cell near the average place of those it is connected to, downwards and upwards in turns."""
    for round_ in range(_SWEEPS):
        down = round_ % 2 == 0
        for layer in layers[1:] if down else reversed(layers[:-1]):
            others = {id(other) for cell in layer for other in (cell.before if down else cell.after)}
            around = layers[layer[0].layer + (-1 if down else 1)]
            places = {id(cell): place for place, cell in enumerate(around) if id(cell) in others}
            own = {id(cell): place for place, cell in enumerate(layer)}
            scale = len(around) / len(layer)

            def average(cell: Cell, down: bool = down, places: dict[int, int] = places,
                        own: dict[int, int] = own, scale: float = scale) -> float:  # fmt: skip
                near = [places[id(other)] for other in (cell.before if down else cell.after)]
                return sum(near) / len(near) if near else own[id(cell)] * scale

            layer.sort(key=average)


def _place(layers: list[list[Cell]], gap: float) -> None:
    """Give each cell its place: as near to the middle of those it is connected to as its neighbours leave room for."""
    for layer in layers:
        _spread(layer, [0.0] * len(layer), gap)
    for _ in range(_SWEEPS):
        for layer in layers[1:]:
            _spread(layer, [_wanted(cell, cell.before) for cell in layer], gap)
        for layer in reversed(layers[:-1]):
            _spread(layer, [_wanted(cell, cell.after) for cell in layer], gap)
    for layer in layers[1:]:
        _spread(layer, [_wanted(cell, [*cell.before, *cell.after]) for cell in layer], gap)
    left = min((layer[0].start for layer in layers if layer), default=0.0)
    for layer in layers:
        for cell in layer:
            cell.start -= left


def _wanted(cell: Cell, others: Sequence[Cell]) -> float:
    if not others:
        return cell.start
    return sum(other.middle for other in others) / len(others) - cell.size / 2


def _spread(layer: Sequence[Cell], wanted: Sequence[float], gap: float) -> None:
    """The positions nearest to the ``wanted`` ones (least squares) at which no two cells overlap."""
    blocks: list[tuple[float, int]] = []
    """The average wanted positions, less the room taken before, each with its number of cells."""
    taken, rooms = 0.0, list[float]()
    for cell, want in zip(layer, wanted, strict=True):
        rooms.append(taken)
        average, many = want - taken, 1
        while blocks and blocks[-1][0] > average:
            before, number = blocks.pop()
            average, many = (average * many + before * number) / (many + number), many + number
        blocks.append((average, many))
        taken += cell.size + gap
    at = iter(zip(layer, rooms, strict=True))
    for average, many in blocks:
        for _ in range(many):
            cell, room = next(at)
            cell.start = round(average) + room
