"""Pictures as text that other programs draw: Mermaid and Graphviz DOT."""

from canvas.graph.pictures.shapes import COLOURS, Picture

_BRACKETS = {
    "choose": ("{", "}"), "merge": ("([", "])"), "map": ("[[", "]]"), "join": ("((", "))"), "task": ("[", "]"),
}  # fmt: skip
_SHAPES = {"choose": "diamond", "join": "circle"}


def mermaid(picture: Picture) -> str:
    """A Mermaid flowchart."""
    lines = ["flowchart LR"]
    for number, box in enumerate(picture.boxes):
        opening, closing = _BRACKETS.get(box.kind, ("[", "]"))
        lines.append(f'    n{number}{opening}"{_entity(box.label)}"{closing}')
        if box.state:
            lines.append(f"    style n{number} fill:{COLOURS.get(box.state, '#ffffff')},color:#222222")
    for edge in picture.edges:
        arrow = "-.->" if edge.order else "-->"
        arm = "" if edge.arm is None else f'|"{_entity(edge.arm)}"|'
        lines.append(f"    n{edge.before} {arrow}{arm} n{edge.after}")
    return "\n".join(lines)


def _entity(text: str) -> str:
    return text.replace('"', "#quot;")


def dot(picture: Picture) -> str:
    """Graphviz DOT."""
    lines = ["digraph workflow {", "    rankdir=LR;", "    node [shape=box, style=filled, fillcolor=white];"]
    for number, box in enumerate(picture.boxes):
        colour, shape = COLOURS.get(box.state, "#ffffff"), _SHAPES.get(box.kind, "box")
        lines.append(f'    n{number} [label={_quoted(box.label)}, shape={shape}, fillcolor="{colour}"];')
    for edge in picture.edges:
        options = ["style=dashed"] * edge.order + ([] if edge.arm is None else [f"label={_quoted(edge.arm)}"])
        shown = f" [{', '.join(options)}]" if options else ""
        lines.append(f"    n{edge.before} -> n{edge.after}{shown};")
    return "\n".join([*lines, "}"])


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
