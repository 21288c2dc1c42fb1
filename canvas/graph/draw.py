"""Pictures of a compiled workflow: indented text for terminals, Mermaid and DOT for pages."""

from itertools import count
from typing import Any

from canvas.graph.compile import graph_of
from canvas.graph.steps import Fork, Graph, Join, Step, body_units, join_of, node_of, sequence, targets
from canvas.model.shortrepr import short_repr
from canvas.model.signature import Signature

_SHOWN = 4


def text(sig: Signature[Any]) -> str:
    """The workflow as an indented tree, one branch for each member of a group; long groups shortened."""
    graph = _graph(sig)
    return "\n".join(_text_units(graph, list(sequence(graph, _head(graph)))))


def mermaid(sig: Signature[Any]) -> str:
    """The graph as Mermaid flowchart text."""
    graph = _graph(sig)
    names = {key: f"n{number}" for number, key in enumerate(graph)}
    lines = ["flowchart LR"]
    for key, name in names.items():
        opening, closing = _MERMAID[type(node_of(graph, key))]
        lines.append(f'    {name}{opening}"{_label(graph, key)}"{closing}')
    lines += [f"    {names[a]} --> {names[b]}" for a, b in graph.edges]
    return "\n".join(lines)


def dot(sig: Signature[Any]) -> str:
    """The graph as Graphviz DOT text."""
    graph = _graph(sig)
    names = {key: f"n{number}" for number, key in enumerate(graph)}
    lines = ["digraph workflow {", "    rankdir=LR;"]
    for key, name in names.items():
        shape = "box" if isinstance(node_of(graph, key), Step) else "circle"
        label = _label(graph, key).replace("\\", "\\\\").replace('"', '\\"')
        lines.append(f'    {name} [shape={shape}, label="{label}"];')
    lines += [f"    {names[a]} -> {names[b]};" for a, b in graph.edges]
    return "\n".join([*lines, "}"])


_MERMAID = {Step: ("[", "]"), Fork: ("((", "))"), Join: ("((", "))")}


def _graph(sig: Signature[Any]) -> Graph:
    numbers = count()
    return graph_of(sig, lambda: f"step{next(numbers)}")


def _head(graph: Graph) -> str:
    return next(key for key in graph if graph.in_degree(key) == 0)


def _label(graph: Graph, key: str) -> str:
    node = node_of(graph, key)
    if isinstance(node, Step):
        return node.task.rpartition(".")[2]
    return "group" if isinstance(node, Fork) else f"join {graph.in_degree(key)}"


def _call(step: Step) -> str:
    shown = [short_repr(arg, 30) for arg in step.args]
    shown += [f"{key}={short_repr(value, 30)}" for key, value in step.kwargs.items()]
    return f"{step.task}({', '.join(shown)})" if len(shown) < 4 else f"{step.task}(…)"


def _text_units(graph: Graph, units: list[str]) -> list[str]:
    lines: list[str] = []
    for unit in units:
        node = node_of(graph, unit)
        if isinstance(node, Step):
            lines.append(f"● {_call(node)}")
            continue
        lines += _text_members(graph, unit)
        join = join_of(graph, unit)
        if join is not None:
            lines.append(f"└─ all {graph.in_degree('join:' + join.id)} results")
            lines += _text_units(graph, body_units(graph, join))
    return lines


def _text_members(graph: Graph, fork: str) -> list[str]:
    heads = targets(graph, fork, "member")
    lines = [f"┌─ {len(heads)} side by side"]
    shown = heads if len(heads) <= _SHOWN + 1 else heads[: _SHOWN - 1]
    for head in shown:
        first, *rest = _text_units(graph, list(sequence(graph, head)))
        lines += [f"├─ {first}", *(f"│  {line}" for line in rest)]
    if len(shown) < len(heads):
        lines.append(f"│  … {len(heads) - len(shown)} more")
    return lines
