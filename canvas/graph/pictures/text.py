"""Pictures as text for terminals: boxes in layers from top to bottom, with lines between them.

Lines that meet at ├ ┬ ┴ ┤ ┼ belong together; where one merely crosses another, the one from left to right is
interrupted. Dashed lines pass nothing.
"""

from collections import Counter
from unicodedata import combining, east_asian_width

from canvas.graph.pictures.layers import Cell, Hop, Layout, layout
from canvas.graph.pictures.nets import Net, lay_tracks, ports_of
from canvas.graph.pictures.shapes import MARKS, Box, Edge, Picture, bundled

_WIDTH = 100
"""Columns that a picture takes, if its labels can be shortened to that."""
_SHORTER = ((40, 6), (28, 4), (20, 3), (14, 3))
"""Characters of a label, and boxes with the same parents and the same children, that are shown at most."""
_WIDEST = 600
"""Columns beyond which lines cannot be followed."""
_PARENTS = 4
"""Parents of a box that a list names."""
_GAP = 2
_NORTH, _EAST, _SOUTH, _WEST = 1, 2, 4, 8
_PLAIN = {
    0: " ", _NORTH: "│", _SOUTH: "│", _NORTH | _SOUTH: "│", _EAST: "─", _WEST: "─", _EAST | _WEST: "─",
    _NORTH | _EAST: "└", _NORTH | _WEST: "┘", _SOUTH | _EAST: "┌", _SOUTH | _WEST: "┐",
    _NORTH | _SOUTH | _EAST: "├", _NORTH | _SOUTH | _WEST: "┤", _SOUTH | _EAST | _WEST: "┬",
    _NORTH | _EAST | _WEST: "┴", 15: "┼",
}  # fmt: skip
_DASHED = {"│": "┆", "─": "┄"}
_FIRST = ("FAILURE", "STARTED", "RETRY", "REVOKED", "PENDING")
"""States that are shown first if not all boxes can be shown."""


def text(picture: Picture) -> str:
    """The picture, line by line, its labels shortened until it is no wider than a terminal; a list of boxes and their
    parents where there are too many lines to follow."""
    lines: list[str] = []
    for longest, alike in _SHORTER:
        lines = _drawn(bundled(_shortened(picture, alike)), longest) or _listed(picture)
        if max(map(_columns, lines), default=0) <= _WIDTH:
            break
    if any(edge.order for edge in picture.edges) and any("┄" in line or "┆" in line for line in lines):
        lines += ["", "┄┄ nothing is passed"]
    return "\n".join(lines)


def _drawn(picture: Picture, longest: int) -> list[str] | None:
    labels = [_label(box, longest) for box in picture.boxes]
    for edge in picture.edges:
        if edge.arm is not None and not picture.boxes[edge.after].label.endswith(f".{edge.arm}"):
            labels[edge.after] = f"{edge.arm} → {labels[edge.after]}"
    ports = Counter(after for after, _, _ in {(edge.after, edge.before, edge.order) for edge in picture.edges})
    sizes = [max(_columns(label) + 4, 2 * ports[number] + 3) for number, label in enumerate(labels)]
    found = layout(picture, lambda number: sizes[number], 1, _GAP)
    if found.width > _WIDEST or not all(hop.led for hop in found.hops):
        return None
    return _Grid(found, labels, picture).lines()


def _listed(picture: Picture) -> list[str]:
    parents: list[list[str]] = [[] for _ in picture.boxes]
    for edge in picture.edges:
        parents[edge.after].append(picture.boxes[edge.before].label)
    shortest = _SHORTER[-1][0]
    lines = []
    for box, before in zip(picture.boxes, parents, strict=True):
        shown = [name if len(name) <= shortest else f"{name[: shortest - 1]}…" for name in before[:_PARENTS]]
        more = f", … {len(before) - _PARENTS} more" if len(before) > _PARENTS else ""
        origin = f" ← {', '.join(shown)}{more}" if before else ""
        lines.append(f"{_label(box, _SHORTER[0][0])}{origin}")
    return lines


def _label(box: Box, longest: int) -> str:
    whole = box.label if len(box.label) <= longest else box.short or box.label
    label = f"{MARKS.get(box.state, '')} {whole}".strip()
    return label if len(label) <= longest else f"{label[: longest - 1]}…"


def _columns(label: str) -> int:
    """How many columns of a terminal a label takes."""
    return sum(0 if combining(one) else 1 + (east_asian_width(one) in "WF") for one in label)


def _shortened(picture: Picture, most: int) -> Picture:
    """The picture with one box for many that have the same parents and the same children."""
    around: list[list[tuple[bool, int, bool, str | None]]] = [[] for _ in picture.boxes]
    for edge in picture.edges:
        around[edge.before].append((False, edge.after, edge.order, edge.arm))
        around[edge.after].append((True, edge.before, edge.order, edge.arm))
    alike: dict[object, list[int]] = {}
    for number, box in enumerate(picture.boxes):
        alike.setdefault((box.kind, tuple(sorted(around[number], key=repr))), []).append(number)
    stands_for: dict[int, int] = {}
    more: dict[int, str] = {}
    for numbers in alike.values():
        if len(numbers) <= most:
            continue
        numbers.sort(key=lambda number: _FIRST.index(state) if (state := picture.boxes[number].state) in _FIRST else 9)
        last, *others = numbers[most - 1 :]
        stands_for.update(dict.fromkeys(others, last))
        states = Counter(MARKS.get(picture.boxes[number].state, "") for number in [last, *others])
        counted = ", ".join(f"{many} {mark}" for mark, many in states.items() if mark)
        more[last] = f"… {len(others) + 1} more{f' ({counted})' if counted else ''}"
    if not more:
        return picture
    kept = [number for number in range(len(picture.boxes)) if number not in stands_for]
    places = {number: place for place, number in enumerate(kept)}
    boxes = [Box(more[number], "more") if number in more else picture.boxes[number] for number in kept]
    edges = [
        Edge(places[edge.before], places[edge.after], edge.order, edge.arm)
        for edge in picture.edges
        if edge.before in places and edge.after in places
    ]
    return Picture(boxes, edges)


class _Grid:
    """Characters by line and column."""

    def __init__(self, found: Layout, labels: list[str], picture: Picture) -> None:
        self._found = found
        self._labels = labels
        self._boxes = picture.boxes
        self._rows: list[dict[int, str]] = []
        self._out: dict[int, list[int]] = {}
        self._in: dict[int, list[int]] = {}

    def lines(self) -> list[str]:
        bands = self._bands()
        nets = [self._nets(hops) for hops in bands]
        for number, layer in enumerate(self._found.layers):
            self._layer(layer)
            if number < len(nets):
                self._band(nets[number])
        return [self._line(row) for row in self._rows]

    def _line(self, row: dict[int, str]) -> str:
        shown, column = "", 0
        for at in sorted(row):
            shown += " " * (at - column) + row[at]
            column = at + _columns(row[at])
        return shown

    def _bands(self) -> list[list[Hop]]:
        """The lines from each layer to the next."""
        bands: list[list[Hop]] = [[] for _ in self._found.layers[1:]]
        for hop in self._found.hops:
            if hop.led:
                bands[hop.before.layer].append(hop)
        return bands

    def _nets(self, hops: list[Hop]) -> list[Net]:
        leaving: dict[int, dict[bool, Net]] = {}
        cells: dict[int, Cell] = {}
        for hop in hops:
            cells[id(hop.before)] = hop.before
            leaving.setdefault(id(hop.before), {}).setdefault(hop.order, Net(0, hop.order))
        for key, by_kind in leaving.items():
            middle = int(cells[key].middle)
            for place, order in enumerate(sorted(by_kind)):
                by_kind[order].source = middle + 2 * place
            self._out[key] = [net.source for net in by_kind.values()]
        nets = [net for by_kind in leaving.values() for net in by_kind.values()]
        arriving: dict[int, list[Net]] = {}
        for hop in hops:
            net = leaving[id(hop.before)][hop.order]
            cells[id(hop.after)] = hop.after
            known = arriving.setdefault(id(hop.after), [])
            if net not in known:
                known.append(net)
        sources = {net.source for net in nets}
        for key, into in arriving.items():
            into.sort(key=lambda net: net.source)
            columns = ports_of(cells[key], [net.source for net in into], sources)
            self._in[key] = columns
            for net, column in zip(into, columns, strict=True):
                net.ports.append(column)
        return nets

    def _layer(self, layer: list[Cell]) -> None:
        rows: list[dict[int, str]] = [{}, {}, {}]
        for cell in layer:
            left = int(cell.start)
            if cell.box is None:
                for row in rows:
                    row[left] = "┆" if cell.order else "│"
                continue
            width = int(cell.size)
            corners = "╭╮╰╯" if self._boxes[cell.box].kind in ("choose", "merge", "join", "more") else "┌┐└┘"
            self._border(rows[0], left, width, corners[:2], self._in.get(id(cell), []), "┴")
            label = self._labels[cell.box]
            room = width - 2 - _columns(label)
            rows[1][left] = f"│{' ' * (room // 2)}{label}{' ' * (room - room // 2)}│"
            self._border(rows[2], left, width, corners[2:], self._out.get(id(cell), []), "┬")
        self._rows += rows

    def _border(self, row: dict[int, str], left: int, width: int, corners: str, columns: list[int], mark: str) -> None:
        line = [corners[0], *"─" * (width - 2), corners[1]]
        for column in columns:
            line[column - left] = mark
        row[left] = "".join(line)

    def _band(self, nets: list[Net]) -> None:
        tracks = lay_tracks(nets)
        drawn: list[dict[int, dict[int, int]]] = [{} for _ in range(max(tracks, 1))]
        """By line, column and net: the directions in which there is a line."""

        def add(row: int, column: int, net: int, directions: int) -> None:
            cell = drawn[row].setdefault(column, {})
            cell[net] = cell.get(net, 0) | directions

        for number, net in enumerate(nets):
            track = net.track
            for row in range(len(drawn) if track is None else track):
                add(row, net.source, number, _NORTH | _SOUTH)
            if track is None:
                continue
            add(track, net.source, number, _NORTH)
            for port in net.ports:
                add(track, port, number, _SOUTH)
                for row in range(track + 1, len(drawn)):
                    add(row, port, number, _NORTH | _SOUTH)
            first, last = net.span
            for column in range(first, last):
                add(track, column, number, _EAST)
                add(track, column + 1, number, _WEST)
        self._rows += [{column: _character(cell, nets) for column, cell in row.items()} for row in drawn]


def _character(cell: dict[int, int], nets: list[Net]) -> str:
    if len(cell) == 2:
        upright = [net for net, directions in cell.items() if directions == _NORTH | _SOUTH]
        level = [net for net, directions in cell.items() if directions == _EAST | _WEST]
        if len(upright) == len(level) == 1:
            cell = {upright[0]: _NORTH | _SOUTH}
    directions = 0
    for one in cell.values():
        directions |= one
    shown = _PLAIN[directions]
    return _DASHED.get(shown, shown) if all(nets[net].order for net in cell) else shown
