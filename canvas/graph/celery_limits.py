"""Which graphs Celery workers can run: the results that a node may take, and their place in its signature."""

from collections.abc import Sequence
from typing import Any, NoReturn

import networkx as nx

from canvas.errors import CompositionError
from canvas.graph.dag import Dag
from canvas.graph.wire_signature import Wire
from canvas.model.workflow_run import RunNode

_REPLACE = "let a task use self.replace"
_KINDS = {
    "map": ("map over a result", _REPLACE),
    "choose": ("choose by a result", _REPLACE),
    "merge": ("take the first of several results", "take all of them"),
    "otherwise": ("have a value for a node that took too long", "give the task a soft_time_limit"),
    "sleep": ("sleep between tasks", "give the task after it a countdown"),
    "wait": ("wait for a signal", "start another workflow when it comes"),
    "loop": ("repeat a task", "let the task use self.replace with itself"),
    "flow": ("run a workflow in a node's place", "add its nodes to this one"),
    "pages": ("work on a source page by page", "let the task that reads a page send the next one"),
    "input": ("have inputs", "compose the workflow by a function with arguments"),
}
"""By kind of node: what such workers cannot do, and another way to reach it."""
_RULES = {
    "run whatever has happened": ("run a node whatever has happened", "give the tasks errbacks"),
    "fail in time": ("give a node a time", "give the task a time_limit"),
}
_ELSE = "or run it on canvas workers (target='canvas')"


def reduced(nodes: Sequence[RunNode]) -> Dag:
    """The tasks and their edges, without orders that other edges imply."""
    graph: Dag = nx.DiGraph()
    tasks = [number for number, node in enumerate(nodes) if node.kind not in ("start", "end")]
    graph.add_nodes_from(tasks)
    for number in tasks:
        for out in nodes[number].outs:
            if out.node in graph:
                graph.add_edge(number, out.node, slot=out.slot, order=nodes[out.node].slots[out.slot] != "data")
    for before, after in [edge for edge in graph.edges if graph.edges[edge]["order"]]:
        data = dict(graph.edges[before, after])
        graph.remove_edge(before, after)
        if not nx.has_path(graph, before, after):
            graph.add_edge(before, after, **data)
    return graph


def check_node(nodes: Sequence[RunNode], graph: Dag, number: int) -> None:
    """Raise CompositionError for a node that Celery's messages cannot express; the text says how to change it."""
    node = nodes[number]
    if node.kind != "task":
        _refuse(node, *_KINDS[node.kind])
    if node.when != "all_success" or node.limit is not None or node.always:
        what = "run whatever has happened" if node.always else "fail in time" if node.limit is not None else node.when
        _refuse(node, *_RULES.get(what, (f"start by {what}", "catch errors in the tasks before it")))
    if node.continue_on_failure or node.compensate is not None:
        _refuse(node, "go on after a failure, or compensate", "catch the error in the task")
    edges = [data for _, _, data in graph.in_edges(number, data=True)]
    assert node.sig is not None
    head: Wire = node.sig
    path: tuple[Any, ...] = ()
    while head["subtask_type"] == "chain":
        head, path = head["kwargs"]["tasks"][0], (*path, "kwargs", "tasks", 0)
    if head["subtask_type"] is not None and (edges or node.binds):
        _refuse(node, "start several tasks with the results of the tasks before them", "add its tasks as nodes")
    if node.binds:
        _check_binds(node, head, (*path, "args", 0), edges)


def _check_binds(node: RunNode, head: Wire, first: tuple[Any, ...], edges: Sequence[dict[str, Any]]) -> None:
    """Results can only be the first argument of the first task: one result, or a list of several."""
    if any(bind.pick for bind in node.binds):
        _refuse(node, "take a part of a result", "add a task that picks it")
    if any(edge["order"] for edge in edges):
        what = "wait for a node whose result they don't take beside one whose they do"
        _refuse(node, what, "take both results in one list")
    slots = sorted(data["slot"] for data in edges)
    wanted = [first] if len(slots) == 1 else [(*first, at) for at in range(len(slots))]
    if [bind.path for bind in node.binds] != wanted or [bind.slot for bind in node.binds] != slots:
        one = "take it as first argument, once" if len(slots) == 1 else "take them as one list, its first argument"
        _refuse(node, "place results anywhere", one)
    if len(slots) > 1 and len(head["args"][0]) != len(slots):
        _refuse(node, "put results into a list of other values", "take the results as one list of their own")


def _refuse(node: RunNode, what: str, cure: str) -> NoReturn:
    raise CompositionError(f"{node.name}: stock Celery workers cannot {what}: {cure}, {_ELSE}")
