"""Pictures of workflows, of their runs, and of signatures: one drawing, in text, SVG, Mermaid and DOT."""

from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any

from canvas.errors import CompositionError
from canvas.graph.compile import graph_of
from canvas.graph.digraph import Graph, node_of
from canvas.graph.pictures.markup import dot, mermaid
from canvas.graph.pictures.shapes import Box, Edge, Picture
from canvas.graph.pictures.svg import svg
from canvas.graph.pictures.text import text
from canvas.graph.run_nodes import run_nodes
from canvas.graph.steps import Fork, Join, Step
from canvas.model.workflow_definition import NodeDefinition
from canvas.model.workflow_run import RunNode
from canvas.primitives.mapping import chunks
from canvas.primitives.signature import Signature
from canvas.text import short_repr

_WRITERS: dict[str, Callable[[Picture], str]] = {"text": text, "mermaid": mermaid, "dot": dot, "svg": svg}
_SIGNS = {"map": " ×n", "loop": " ↻", "flow": " ▸", "pages": " ▤", "sleep": " ◷", "wait": " ✉"}
"""Signs behind the names of nodes that are not plain tasks."""
_SPREAD = {"celery.map": "map", "celery.starmap": "starmap"}


def draw(entries: Sequence[NodeDefinition], form: str) -> str:
    """A workflow. Raises CompositionError for a cycle or an unknown form."""
    return draw_run(run_nodes(entries), {}, form)


def draw_run(nodes: Sequence[RunNode], states: Mapping[str, str], form: str) -> str:
    """A picture of a run's nodes, with their states, by name."""
    writer = _writer(form)
    return writer(picture_of_run(nodes, states))


def draw_signature(sig: Signature[Any], form: str) -> str:
    """A task, chain, group or chord as it is compiled. Raises CompositionError."""
    writer = _writer(form)
    sig = sig.group() if isinstance(sig, chunks) else sig
    if sig.subtask_type in ("chain", "group") and not sig.members():
        return writer(Picture([Box(f"empty {sig.subtask_type}")]))
    numbers = count()
    return writer(_of_steps(graph_of(sig, lambda: f"step{next(numbers)}")))


def _writer(form: str) -> Callable[[Picture], str]:
    if form not in _WRITERS:
        raise CompositionError(f"form: expected one of {', '.join(_WRITERS)}; got {form!r}")
    return _WRITERS[form]


def picture_of_run(nodes: Sequence[RunNode], states: Mapping[str, str]) -> Picture:
    """All nodes of a run but its start and its end; a choice's arms by their values."""
    picture, places = Picture(), dict[int, int]()
    for number, node in enumerate(nodes):
        if node.kind not in ("start", "end"):
            places[number] = len(picture.boxes)
            label = f"{node.name}{_SIGNS.get(node.kind, '')}"
            picture.boxes.append(Box(label, node.kind, states.get(node.name, "")))
    for number, node in enumerate(nodes):
        for out in node.outs if number in places else ():
            if out.node in places:
                slot = nodes[out.node].slots[out.slot]
                arm = None
                if out.arm is not None:
                    arm = str(node.choices[out.arm]) if out.arm < len(node.choices) else "otherwise"
                picture.edges.append(Edge(places[number], places[out.node], slot != "data", arm))
    return picture


def _of_steps(graph: Graph) -> Picture:
    """The steps of a compiled signature; a place where several results meet has a box where several steps take them."""
    picture, places = Picture(), dict[str, int]()
    for key in graph:
        node = node_of(graph, key)
        if isinstance(node, Step):
            places[key] = len(picture.boxes)
            picture.boxes.append(Box(_call(node), short=_call(node).removeprefix(f"{node.task.rpartition('.')[0]}.")))
        elif isinstance(node, Join) and graph.in_degree(key) > 1 and len(_heads(graph, key)) > 1:
            places[key] = len(picture.boxes)
            picture.boxes.append(Box(f"all {graph.in_degree(key)} results", "join"))
    for key, place in places.items():
        for head in dict.fromkeys(_heads(graph, key, places)):
            target = node_of(graph, head)
            order = isinstance(target, Step) and target.immutable
            picture.edges.append(Edge(place, places[head], order))
    return picture


def _heads(graph: Graph, key: str, drawn: Mapping[str, int] | None = None) -> list[str]:
    """The steps that follow a node, those behind forks and behind joins that are not drawn included."""
    found: list[str] = []
    waiting = list(graph.successors(key))
    while waiting:
        after = waiting.pop(0)
        node = node_of(graph, after)
        if isinstance(node, Fork) or (isinstance(node, Join) and after not in (drawn or ())):
            waiting = [*graph.successors(after), *waiting]
        else:
            found.append(after)
    return found


def _call(step: Step) -> str:
    kind, mapped = _SPREAD.get(step.task), step.kwargs.get("task")
    if kind is not None and isinstance(mapped, Mapping):
        return f"{mapped.get('task')}.{kind}({short_repr(step.kwargs.get('it'), 30)})"
    shown = [short_repr(arg, 30) for arg in step.args]
    shown += [f"{key}={short_repr(value, 30)}" for key, value in step.kwargs.items()]
    return f"{step.task}({', '.join(shown)})" if len(shown) < 4 else f"{step.task}(…)"
