"""Is the graph a workflow? Each refusal names the step."""

import networkx as nx

from canvas.errors import CompositionError
from canvas.graph.steps import Graph, Step, node_of


def check(graph: Graph) -> None:
    """Raise CompositionError for a cycle, printing it."""
    if nx.is_directed_acyclic_graph(graph):
        return
    edges = nx.find_cycle(graph)
    names = [_name(graph, edge[0]) for edge in edges]
    raise CompositionError(f"cycle: {' → '.join([*names, names[0]])}")


def _name(graph: Graph, key: str) -> str:
    node = node_of(graph, key)
    return f"{node.task}[{node.id}]" if isinstance(node, Step) else key
