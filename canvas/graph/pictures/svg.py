"""Pictures as SVG: boxes in layers from left to right, on a ground of their own, so that they can be read anywhere."""

from html import escape

from canvas.graph.pictures.layers import Cell, Hop, layout
from canvas.graph.pictures.shapes import COLOURS, Box, Picture, bundled

_CHARACTER, _PADDING, _HEIGHT = 7.4, 24, 34
_LONGEST = 48
_ACROSS, _DOWN, _MARGIN, _LEGEND = 64, 18, 14, 26
_LINE = "#555555"


def svg(picture: Picture) -> str:
    """The picture as a document."""
    picture = bundled(picture)
    found = layout(picture, lambda _: _HEIGHT, 8, _DOWN)
    widths = [max((_width(picture, cell) for cell in layer), default=0.0) for layer in found.layers]
    lefts = [_MARGIN + sum(widths[:number]) + _ACROSS * number for number in range(len(widths))]
    order = any(edge.order for edge in picture.edges)
    wide = max([lefts[-1] + widths[-1] if widths else 0.0, 260.0 if order else 0.0]) + _MARGIN
    high = found.width + 2 * _MARGIN + (_LEGEND if order else 0)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{wide:.0f}" height="{high:.0f}" '
        f'viewBox="0 0 {wide:.0f} {high:.0f}" style="background:#ffffff" font-family="sans-serif" font-size="12">',
        '<defs><marker id="arrow" markerWidth="8" markerHeight="8" refX="7" refY="4" orient="auto">'
        f'<path d="M0,0 L8,4 L0,8 z" fill="{_LINE}"/></marker></defs>',
        f'<path d="M0,0 H{wide:.0f} V{high:.0f} H0 z" fill="#ffffff"/>',
    ]
    lines += [_line(hop, lefts, widths, picture) for hop in found.hops]
    for layer in found.layers:
        for cell in layer:
            if cell.box is None:
                lines.append(_passing(cell, lefts, widths))
            else:
                lines.append(_box(picture.boxes[cell.box], lefts[cell.layer], cell, _width(picture, cell)))
    if order:
        lines.append(_legend(high - _LEGEND + 4))
    return "\n".join([*lines, "</svg>"])


def _shown(box: Box) -> str:
    return box.label if len(box.label) <= _LONGEST else f"{box.label[: _LONGEST - 1]}…"


def _width(picture: Picture, cell: Cell) -> float:
    return 0.0 if cell.box is None else len(_shown(picture.boxes[cell.box])) * _CHARACTER + _PADDING


def _line(hop: Hop, lefts: list[float], widths: list[float], picture: Picture) -> str:
    """A curve from one layer to the next; the arrow is where it ends."""
    before, after = hop.before, hop.after
    room = widths[before.layer] if before.box is None else _width(picture, before)
    x, y = lefts[before.layer] + room, before.middle + _MARGIN
    to_x, to_y = lefts[after.layer], after.middle + _MARGIN
    middle = max((x + to_x) / 2, to_x - _ACROSS / 2)
    arrow = "" if after.box is None else ' marker-end="url(#arrow)"'
    drawn = (
        f'<path d="M{x:.0f},{y:.0f} C{middle:.0f},{y:.0f} {middle:.0f},{to_y:.0f} {to_x:.0f},{to_y:.0f}" '
        f'fill="none" stroke="{_LINE}"{_dashes(hop.order)}{arrow}/>'
    )
    if hop.arm is not None:
        drawn += (
            f'<text x="{to_x - 10:.0f}" y="{to_y - 5:.0f}" text-anchor="end" fill="{_LINE}">{escape(hop.arm)}</text>'
        )
    return drawn


def _passing(cell: Cell, lefts: list[float], widths: list[float]) -> str:
    """A line that passes through a layer between its boxes."""
    x, y = lefts[cell.layer], cell.middle + _MARGIN
    return f'<path d="M{x:.0f},{y:.0f} h{widths[cell.layer]:.0f}" fill="none" stroke="{_LINE}"{_dashes(cell.order)}/>'


def _dashes(order: bool) -> str:
    return ' stroke-dasharray="5,4"' if order else ""


def _box(box: Box, left: float, cell: Cell, width: float) -> str:
    top = cell.start + _MARGIN
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
