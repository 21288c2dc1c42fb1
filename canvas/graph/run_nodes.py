"""A workflow's nodes → the nodes of its runs: checked, numbered in topological order, each with its edges.

A start node leads to whatever waits for nothing, and an end node waits for whatever nothing follows: it settles the
run. Both are part of the graph like every other.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import networkx as nx

from canvas.errors import CompositionError
from canvas.model.gc_pause import gc_paused
from canvas.model.workflow_definition import NodeDefinition
from canvas.model.workflow_run import KnownInput, OutgoingEdge, RunNode
from canvas.primitives.fields import signature_dict

Dag: TypeAlias = "nx.DiGraph[int]"


def graph_of(entries: Sequence[NodeDefinition]) -> Dag:
    """Entries by number, with an edge from each parent."""
    graph: Dag = nx.DiGraph()
    graph.add_nodes_from(range(len(entries)))
    graph.add_edges_from((source.number, number) for number, entry in enumerate(entries) for source in entry.sources)
    return graph


def topological(entries: Sequence[NodeDefinition]) -> list[int]:
    """The entries' numbers, parents first. Raises CompositionError that shows a cycle."""
    if all(source.number < number for number, entry in enumerate(entries) for source in entry.sources):
        return list(range(len(entries)))
    graph = graph_of(entries)
    try:
        return list(nx.topological_sort(graph))
    except nx.NetworkXUnfeasible:
        return sorted_names(nx.relabel_nodes(graph, {at: entry.name for at, entry in enumerate(entries)}))


def run_nodes(entries: Sequence[NodeDefinition]) -> list[RunNode]:
    """The nodes of a run: the first starts it, the last ends it. Raises CompositionError for a cycle, or no nodes."""
    if not entries:
        raise CompositionError("an empty workflow has nothing to run: add a node")
    with gc_paused():
        return _numbered(entries, topological(entries))


def _numbered(entries: Sequence[NodeDefinition], order: Sequence[int]) -> list[RunNode]:
    numbers = {entry: place for place, entry in enumerate(order, 1)}
    nodes = [RunNode("start", "start", hidden=True)]
    nodes += [_node(entries[number]) for number in order]
    end = RunNode("end", "end", hidden=True)
    for number in order:
        place, sources = numbers[number], entries[number].sources
        for slot, source in enumerate(sources):
            nodes[numbers[source.number]].outs.append(OutgoingEdge(place, slot, source.arm))
        if not sources:
            nodes[0].outs.append(OutgoingEdge(place, 0))
    for node in nodes[1:]:
        if not node.outs:
            node.outs.append(OutgoingEdge(len(nodes), len(end.slots)))
            end.slots.append("order")
    return [*nodes, end]


def _node(entry: NodeDefinition) -> RunNode:
    return RunNode(
        entry.name,
        entry.kind,
        [source.edge for source in entry.sources] or ["order"],
        entry.sig,
        entry.binds,
        goes_on=entry.goes_on,
        default=entry.default,
        choices=entry.choices,
        compensate=entry.compensate,
        hidden=entry.hidden,
        depth=entry.depth,
    )


def resumed(nodes: Sequence[RunNode], ended: Mapping[int, tuple[str, Any]]) -> list[RunNode]:
    """The same nodes for another attempt: nodes that have ``ended`` (state and value, by number) are left out, and the
    nodes after them get their values."""
    given: list[list[KnownInput]] = [[] for _ in nodes]
    left = [replace(node, slots=list(node.slots), outs=[], given=mine) for node, mine in zip(nodes, given, strict=True)]
    for number, node in enumerate(nodes):
        for out in node.outs:
            if out.node in ended or number == 0:
                continue
            if number in ended:
                given[out.node].append(KnownInput(out.slot, *ended[number]))
            else:
                left[number].outs.append(out)
    roots = {out.node for out in nodes[0].outs}
    for number, node in enumerate(left[1:], 1):
        if number in ended or (node.open_slots and number not in roots):
            continue
        if not node.open_slots:
            node.slots.append("order")
        left[0].outs.append(OutgoingEdge(number, len(node.slots) - 1))
    return left


def with_values(nodes: Sequence[RunNode], ended: Mapping[int, tuple[str, Any]]) -> list[RunNode]:
    """The same nodes for Celery workers: a node that has ended becomes an identity task that gives its value, if a node
    that has not ended takes it, and otherwise a node of kind ``start``."""
    left: list[RunNode] = []
    for number, node in enumerate(nodes):
        if number not in ended:
            left.append(node)
            continue
        outs = [out for out in node.outs if out.node not in ended and out.node < len(nodes) - 1]
        sig = signature_dict("celery.accumulate", [ended[number][1]], {"index": 0}, {}, immutable=True)
        left.append(RunNode(node.name, "task" if outs else "start", ["order"], sig, outs=outs))
    return left


def sorted_names(graph: "nx.DiGraph[Any]") -> list[Any]:
    """A graph's nodes, parents first. Raises CompositionError for a cycle, and for an object that is no DiGraph."""
    if not isinstance(graph, nx.DiGraph):
        raise CompositionError(f"expected a networkx.DiGraph; got {type(graph).__name__}")
    try:
        return list(nx.topological_sort(graph))
    except nx.NetworkXUnfeasible:
        cycle = [str(edge[0]) for edge in nx.find_cycle(graph)]
        raise CompositionError(f"cycle: {' → '.join([*cycle, cycle[0]])}") from None


def signature_graph(entries: Sequence[NodeDefinition], signature: Callable[[Any], Any]) -> "nx.DiGraph[str]":
    """Entries by name, with ``signature(entry.sig)`` and how they are bound."""
    graph: nx.DiGraph[str] = nx.DiGraph()
    for entry in entries:
        policy: dict[str, Any] = {}
        if entry.goes_on:
            policy = {"on_failure": "continue", "default": entry.default}
        if entry.compensate is not None:
            policy["compensate"] = signature(entry.compensate)
        graph.add_node(entry.name, signature=signature(entry.sig), **policy)
    for entry in entries:
        for slot, source in enumerate(entry.sources):
            binds = [(bind.path, bind.pick) for bind in entry.binds if bind.slot == slot]
            how: dict[str, Any] = {"binds": binds} if binds else {"order": True}
            graph.add_edge(entries[source.number].name, entry.name, **how)
    return graph
