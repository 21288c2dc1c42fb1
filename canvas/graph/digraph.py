"""Steps → a networkx graph of them, for pictures and for whatever else looks at the whole."""

from collections.abc import Mapping
from typing import TypeAlias

import networkx as nx

from canvas.graph.steps import Fork, Join, Node

Graph: TypeAlias = "nx.DiGraph[str]"


def digraph(nodes: Mapping[str, Node]) -> Graph:
    """The graph of these nodes, by their keys. Each node's data has the object itself as ``node``."""
    graph: Graph = nx.DiGraph()
    for key, node in nodes.items():
        graph.add_node(key, node=node)
    for key, node in nodes.items():
        if isinstance(node, Join):
            assert node.body is not None
            graph.add_edge(key, node.body.key, kind="body", index=0)
            continue
        if isinstance(node, Fork):
            for index, member in enumerate(node.members):
                graph.add_edge(key, member.head.key, kind="member", index=index)
        elif node.part is not None:
            join, index = node.part
            graph.add_edge(key, join.key, kind="part", index=index)
        if node.next is not None:
            graph.add_edge(key, node.next.key, kind="next", index=0)
    return graph


def node_of(graph: Graph, key: str) -> Node:
    return graph.nodes[key]["node"]  # type: ignore[no-any-return]
