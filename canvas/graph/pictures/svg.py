"""Pictures as SVG: boxes in layers from left to right, on a ground of their own, so that they can be read anywhere."""

from dataclasses import dataclass
from html import escape

from canvas.graph.pictures.layers import Cell, Hop, layout
from canvas.graph.pictures.shapes import COLOURS, Box, Picture, bundled

_CHARACTER, _PADDING, _HEIGHT = 7.4, 24, 34
_LONGEST = 48
_ACROSS, _DOWN, _MARGIN, _LEGEND = 64, 18, 14, 26
_LINE = "#555555"


@dataclass(slots=True)
class PlacedBox:
    """A box with its position in pixels."""

    number: int
    """Its index among the boxes of the picture; a higher number is a point where lines meet."""
    box: Box
    left: float
    top: float
    width: float
    height: float = _HEIGHT


@dataclass(slots=True)
class PlacedLine:
    """A piece of a line, as the path of an SVG document."""

    path: str
    order: bool
    arrow: bool = False
    arm: str | None = None
    end: tuple[float, float] = (0.0, 0.0)


@dataclass(slots=True)
class Arrangement:
    """The boxes and lines of a picture, with their positions in pixels."""

    width: float
    height: float
    boxes: list[PlacedBox]
    lines: list[PlacedLine]
    legend: float | None
    """Where the legend of dashed lines is, if there are any."""


def arranged(picture: Picture) -> Arrangement:
    """Lay a picture out."""
    picture = bundled(picture)
    found = layout(picture, lambda _: _HEIGHT, 8, _DOWN)
    widths = [max((_width(picture, cell) for cell in layer), default=0.0) for layer in found.layers]
    lefts = [_MARGIN + sum(widths[:number]) + _ACROSS * number for number in range(len(widths))]
    order = any(edge.order for edge in picture.edges)
    wide = max([lefts[-1] + widths[-1] if widths else 0.0, 260.0 if order else 0.0]) + _MARGIN
    high = found.width + 2 * _MARGIN + (_LEGEND if order else 0)
    lines = [_line(hop, lefts, widths, picture) for hop in found.hops]
    boxes = []
    for cell in (cell for layer in found.layers for cell in layer):
        if cell.box is None:
            lines.append(_passing(cell, lefts, widths))
        else:
            left, top = lefts[cell.layer], cell.start + _MARGIN
            boxes.append(PlacedBox(cell.box, picture.boxes[cell.box], left, top, _width(picture, cell)))
    return Arrangement(wide, high, boxes, lines, high - _LEGEND + 4 if order else None)


def svg(picture: Picture) -> str:
    """The picture as a document."""
    found = arranged(picture)
    wide, high = f"{found.width:.0f}", f"{found.height:.0f}"
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{wide}" height="{high}" '
        f'viewBox="0 0 {wide} {high}" style="background:#ffffff" font-family="sans-serif" font-size="12">',
        '<defs><marker id="arrow" markerWidth="8" markerHeight="8" refX="7" refY="4" orient="auto">'
        f'<path d="M0,0 L8,4 L0,8 z" fill="{_LINE}"/></marker></defs>',
        f'<path d="M0,0 H{wide} V{high} H0 z" fill="#ffffff"/>',
        *map(_drawn, found.lines),
        *map(_box, found.boxes),
    ]
    if found.legend is not None:
        lines.append(_legend(found.legend))
    return "\n".join([*lines, "</svg>"])


def _shown(box: Box) -> str:
    return box.label if len(box.label) <= _LONGEST else f"{box.label[: _LONGEST - 1]}…"


def _width(picture: Picture, cell: Cell) -> float:
    return 0.0 if cell.box is None else len(_shown(picture.boxes[cell.box])) * _CHARACTER + _PADDING


def _line(hop: Hop, lefts: list[float], widths: list[float], picture: Picture) -> PlacedLine:
    """A curve from one layer to the next; the arrow is where it ends."""
    before, after = hop.before, hop.after
    room = widths[before.layer] if before.box is None else _width(picture, before)
    x, y = lefts[before.layer] + room, before.middle + _MARGIN
    to_x, to_y = lefts[after.layer], after.middle + _MARGIN
    middle = max((x + to_x) / 2, to_x - _ACROSS / 2)
    path = f"M{x:.0f},{y:.0f} C{middle:.0f},{y:.0f} {middle:.0f},{to_y:.0f} {to_x:.0f},{to_y:.0f}"
    return PlacedLine(path, hop.order, after.box is not None, hop.arm, (to_x, to_y))


def _passing(cell: Cell, lefts: list[float], widths: list[float]) -> PlacedLine:
    """A line that passes through a layer between its boxes."""
    x, y = lefts[cell.layer], cell.middle + _MARGIN
    return PlacedLine(f"M{x:.0f},{y:.0f} h{widths[cell.layer]:.0f}", cell.order)


def _drawn(line: PlacedLine) -> str:
    dashes = ' stroke-dasharray="5,4"' if line.order else ""
    arrow = ' marker-end="url(#arrow)"' if line.arrow else ""
    drawn = f'<path d="{line.path}" fill="none" stroke="{_LINE}"{dashes}{arrow}/>'
    if line.arm is not None:
        x, y = line.end
        drawn += f'<text x="{x - 10:.0f}" y="{y - 5:.0f}" text-anchor="end" fill="{_LINE}">{escape(line.arm)}</text>'
    return drawn


def _box(placed: PlacedBox) -> str:
    box, left, top, width = placed.box, placed.left, placed.top, placed.width
    round_ = _HEIGHT / 2 if box.kind in ("choose", "merge", "join") else 5
    return (
        f"<g><title>{escape(f'{box.label} {box.state}'.strip())}</title>"
        f'<rect x="{left:.0f}" y="{top:.0f}" width="{width:.0f}" height="{_HEIGHT}" rx="{round_:.0f}" stroke="#333333" '
        f'fill="{COLOURS.get(box.state, "#ffffff")}"/>'
        f'<text x="{left + width / 2:.0f}" y="{top + _HEIGHT / 2 + 4:.0f}" text-anchor="middle" fill="#111111">'
        f"{escape(_shown(box))}</text></g>"
    )


def _legend(y: float) -> str:
    return (
        f'<path d="M{_MARGIN},{y:.0f} h36" fill="none" stroke="{_LINE}" stroke-dasharray="5,4"/>'
        f'<text x="{_MARGIN + 44}" y="{y + 4:.0f}" fill="{_LINE}">nothing is passed</text>'
    )
