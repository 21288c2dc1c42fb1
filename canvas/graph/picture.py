"""Pictures of workflows and their runs: text for terminals, Mermaid, DOT, SVG."""

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

import networkx as nx

from canvas.errors import CompositionError, ConfigurationError
from canvas.graph.dag import run_nodes
from canvas.model.flow import Entry
from canvas.model.run import RunNode

COLOURS = {
    "SUCCESS": "#b7e1b5", "FAILURE": "#f4b0a8", "UPSTREAM_FAILED": "#f7d9b0", "STARTED": "#f9eda0", "RETRY": "#f9eda0",
    "REVOKED": "#d6c3e8", "SKIPPED": "#e4e4e4", "PENDING": "#cfe2f5", "WAITING": "#ffffff",
}  # fmt: skip
"""A node's colour by its state."""
_MARKS = {
    "SUCCESS": "✔", "FAILURE": "✘", "UPSTREAM_FAILED": "⊘", "STARTED": "▶", "RETRY": "↻", "REVOKED": "⊗",
    "SKIPPED": "–", "PENDING": "…", "WAITING": "·",
}  # fmt: skip
_INDENTED, _LAID_OUT = 40, 200
"""Steps one after the other: text goes further right for each up to so many, and so many have a layout of their own."""
_WIDTH, _HEIGHT, _ACROSS, _DOWN, _MARGIN = 150, 34, 60, 22, 12


def draw(entries: Sequence[Entry], form: str) -> str:
    """A workflow. Raises CompositionError for a cycle or an unknown form."""
    return draw_run(run_nodes(entries), {}, form)


def draw_run(nodes: Sequence[RunNode], states: Mapping[str, str], form: str) -> str:
    """A run's nodes, with their states by name where they have one."""
    forms: dict[str, Callable[[nx.DiGraph[int], Mapping[str, str]], str]] = {
        "text": _text, "mermaid": _mermaid, "dot": _dot, "svg": _svg
    }  # fmt: skip
    if form not in forms:
        raise CompositionError(f"form: expected one of {', '.join(forms)}; got {form!r}")
    return forms[form](_shown(nodes), states)


def _shown(nodes: Sequence[RunNode]) -> "nx.DiGraph[int]":
    """What a picture has: all nodes but start and end; a choice's arms by their values."""
    graph: nx.DiGraph[int] = nx.DiGraph()
    for number, node in enumerate(nodes):
        if node.kind not in ("start", "end"):
            graph.add_node(number, node=node)
    for number, node in enumerate(nodes):
        for out in node.outs if number in graph else ():
            if out.node in graph:
                order = nodes[out.node].slots[out.slot] != "data"
                arm = None
                if out.arm is not None:
                    arm = node.choices[out.arm] if out.arm < len(node.choices) else "otherwise"
                graph.add_edge(number, out.node, order=order, arm=arm)
    return graph


def _label(node: RunNode) -> str:
    return f"{node.name} ×n" if node.kind == "map" else node.name


def _text(graph: "nx.DiGraph[int]", states: Mapping[str, str]) -> str:
    for _, data in graph.nodes(data=True):
        node = data["node"]
        mark = _MARKS.get(states.get(node.name, ""), "")
        data["label"] = f"{mark} {_label(node)}".strip()
    return "\n".join(nx.generate_network_text(graph, vertical_chains=_depth(graph) > _INDENTED))


def _mermaid(graph: "nx.DiGraph[int]", states: Mapping[str, str]) -> str:
    lines = ["flowchart LR"]
    for number, data in graph.nodes(data=True):
        node = data["node"]
        opening, closing = {"choose": ("{", "}"), "merge": ("([", "])"), "map": ("[[", "]]")}.get(node.kind, ("[", "]"))
        label = _label(node).replace('"', "#quot;")
        lines.append(f'    n{number}{opening}"{label}"{closing}')
        if node.name in states:
            lines.append(f"    style n{number} fill:{COLOURS.get(states[node.name], '#ffffff')}")
    for before, after, edge in graph.edges(data=True):
        arrow = "-.->" if edge["order"] else "-->"
        arm = "" if edge["arm"] is None else f'|"{str(edge["arm"]).replace(chr(34), "#quot;")}"|'
        lines.append(f"    n{before} {arrow}{arm} n{after}")
    return "\n".join(lines)


def _dot(graph: "nx.DiGraph[int]", states: Mapping[str, str]) -> str:
    lines = ["digraph workflow {", "    rankdir=LR;", "    node [shape=box, style=filled, fillcolor=white];"]
    for number, data in graph.nodes(data=True):
        node = data["node"]
        shape = "diamond" if node.kind == "choose" else "box"
        colour = COLOURS.get(states.get(node.name, ""), "#ffffff")
        lines.append(f'    n{number} [label={_quoted(_label(node))}, shape={shape}, fillcolor="{colour}"];')
    for before, after, edge in graph.edges(data=True):
        style = ", style=dashed" if edge["order"] else ""
        arm = "" if edge["arm"] is None else f", label={_quoted(str(edge['arm']))}"
        options = (style + arm).removeprefix(", ")
        lines.append(f"    n{before} -> n{after}{f' [{options}]' if options else ''};")
    return "\n".join([*lines, "}"])


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _svg(graph: "nx.DiGraph[int]", states: Mapping[str, str]) -> str:
    places = _layout(graph)
    wide = max((x for x, _ in places.values()), default=0) + _WIDTH + _MARGIN
    high = max((y for _, y in places.values()), default=0) + _HEIGHT + _MARGIN
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{wide:.0f}" height="{high:.0f}" '
        f'font-family="sans-serif" font-size="12">',
        '<defs><marker id="arrow" markerWidth="8" markerHeight="8" refX="7" refY="4" orient="auto">'
        '<path d="M0,0 L8,4 L0,8 z" fill="#555"/></marker></defs>',
    ]
    lines += [_svg_edge(places[a], places[b], edge) for a, b, edge in graph.edges(data=True)]
    lines += [_svg_node(places[number], data["node"], states) for number, data in graph.nodes(data=True)]
    return "\n".join([*lines, "</svg>"])


def _depth(graph: "nx.DiGraph[int]") -> int:
    return int(nx.dag_longest_path_length(graph, default_weight=1)) if graph else 0


def _layout(graph: "nx.DiGraph[int]") -> dict[int, tuple[float, float]]:
    """Upper left corners, drawn from left to right: by Sugiyama's method (the grandalf library), or, for what is too
    long for its recursion, each node in the column of its generation."""
    if _depth(graph) > _LAID_OUT:
        return {
            number: (column * (_WIDTH + _ACROSS) + _MARGIN, row * (_HEIGHT + _DOWN) + _MARGIN)
            for column, generation in enumerate(nx.topological_generations(graph))
            for row, number in enumerate(generation)
        }
    try:
        from grandalf.graphs import Edge, Graph, Vertex
        from grandalf.layouts import SugiyamaLayout
    except ModuleNotFoundError as exc:
        raise ConfigurationError("an SVG needs a layout: install canvas-workflows[draw]") from exc
    vertices: dict[int, Any] = {number: Vertex(number) for number in graph}
    for vertex in vertices.values():
        vertex.view = _Box()
    whole = Graph(list(vertices.values()), [Edge(vertices[a], vertices[b]) for a, b in graph.edges])
    places: dict[int, tuple[float, float]] = {}
    top = float(_MARGIN)
    for component in whole.C:
        layout = SugiyamaLayout(component)
        layout.xspace, layout.yspace = _DOWN, _ACROSS
        layout.init_all()
        layout.draw()
        # Its layers run downwards; turned, they run to the right.
        corners = {v.data: (v.view.xy[1] - v.view.h / 2, v.view.xy[0] - v.view.w / 2) for v in component.sV}
        left, high = min(x for x, _ in corners.values()), min(y for _, y in corners.values())
        for number, (x, y) in corners.items():
            places[number] = (x - left + _MARGIN, y - high + top)
        top = max(y for _, y in places.values()) + _HEIGHT + _DOWN
    return places


class _Box:
    """A node's size before the picture is turned, and where the layout puts its middle."""

    w = _HEIGHT
    h = _WIDTH
    xy = (0.0, 0.0)


def _svg_edge(start: tuple[float, float], end: tuple[float, float], edge: Mapping[str, Any]) -> str:
    x, y, to_x, to_y = start[0] + _WIDTH, start[1] + _HEIGHT / 2, end[0], end[1] + _HEIGHT / 2
    middle = (x + to_x) / 2
    dashes = ' stroke-dasharray="5,4"' if edge["order"] else ""
    line = (
        f'<path d="M{x:.0f},{y:.0f} C{middle:.0f},{y:.0f} {middle:.0f},{to_y:.0f} {to_x:.0f},{to_y:.0f}" '
        f'fill="none" stroke="#555"{dashes} marker-end="url(#arrow)"/>'
    )
    if edge["arm"] is not None:
        line += f'<text x="{middle:.0f}" y="{(y + to_y) / 2 - 4:.0f}" fill="#555">{escape(str(edge["arm"]))}</text>'
    return line


def _svg_node(place: tuple[float, float], node: RunNode, states: Mapping[str, str]) -> str:
    x, y = place
    state = states.get(node.name, "")
    label = _label(node)
    shown = label if len(label) <= 20 else f"{label[:19]}…"
    round_ = _HEIGHT / 2 if node.kind in ("choose", "merge") else 5
    return (
        f"<g><title>{escape(f'{label} {state}'.strip())}</title>"
        f'<rect x="{x:.0f}" y="{y:.0f}" width="{_WIDTH}" height="{_HEIGHT}" rx="{round_:.0f}" stroke="#333" '
        f'fill="{COLOURS.get(state, "#ffffff")}"/>'
        f'<text x="{x + _WIDTH / 2:.0f}" y="{y + _HEIGHT / 2 + 4:.0f}" text-anchor="middle">{escape(shown)}</text></g>'
    )
