"""A workflow's nodes as a networkx graph: their order, their cycles, the graph that users see."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import networkx as nx

from canvas.errors import CompositionError
from canvas.model.workflow_definition import NodeDefinition

Dag: TypeAlias = "nx.DiGraph[int]"


def graph_of(entries: Sequence[NodeDefinition]) -> Dag:
    """Entries by number, with an edge from each parent."""
    graph: Dag = nx.DiGraph()
    graph.add_nodes_from(range(len(entries)))
    graph.add_edges_from((source.number, number) for number, entry in enumerate(entries) for source in entry.sources)
    return graph


def sorted_numbers(entries: Sequence[NodeDefinition]) -> list[int]:
    """The entries' numbers, parents first. Raises CompositionError that shows a cycle."""
    graph = graph_of(entries)
    try:
        return list(nx.topological_sort(graph))
    except nx.NetworkXUnfeasible:
        return sorted_names(nx.relabel_nodes(graph, {at: entry.name for at, entry in enumerate(entries)}))


def sorted_names(graph: "nx.DiGraph[Any]") -> list[Any]:
    """A graph's nodes, parents first. Raises CompositionError for a cycle, and for an object that is not a DiGraph."""
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
        if entry.continue_on_failure:
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
