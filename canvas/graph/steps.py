"""The graph of a run: its nodes, its edges, and how to walk it.

Nodes are :class:`Step` (one task execution), :class:`Fork` (a group starts) and :class:`Join` (a chord waits).
Edges carry ``kind`` and, where order matters, ``index``:

=========  ===================  ==========================================================
``next``   Step → Step|Fork     the target takes the source's result (or only its turn)
``member`` Fork → Step|Fork     the target starts with the fork, ``index``-th
``part``   Step → Join          the source's result is the join's ``index``-th value
``body``   Join → Step|Fork     the target takes the list of the join's values
=========  ===================  ==========================================================
"""

from dataclasses import dataclass, field
from typing import Any, TypeAlias

import networkx as nx

Graph: TypeAlias = "nx.DiGraph[str]"


@dataclass(slots=True)
class Step:
    """One execution of a task."""

    id: str
    task: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    options: dict[str, Any]
    immutable: bool


@dataclass(slots=True)
class Fork:
    """A group starts; ``live`` when it is sent with this plan rather than by a later step."""

    id: str
    options: dict[str, Any]
    live: bool


@dataclass(slots=True)
class Join:
    """A chord: waits for its parts, then starts its body.

    ``extent`` is how many units, counted from the body edge on, Celery's form embeds as the body; what follows
    those follows the chord.
    """

    id: str
    options: dict[str, Any]
    live: bool
    extent: int
    chained: bool
    """The body is written as a chain, even of one step."""
    body_options: dict[str, Any] = field(default_factory=dict)
    """Options of that chain."""


Node: TypeAlias = Step | Fork | Join


@dataclass(slots=True)
class Segment:
    """A lowered piece: where it starts, what follows its end, and which steps give its value."""

    head: str
    exit: str
    tails: list[str]


def fork_key(group_id: str) -> str:
    return f"fork:{group_id}"


def join_key(group_id: str) -> str:
    return f"join:{group_id}"


def node_of(graph: Graph, key: str) -> Node:
    return graph.nodes[key]["node"]  # type: ignore[no-any-return]


def targets(graph: Graph, key: str, kind: str) -> list[str]:
    """Where the edges of a kind lead that leave a node, in index order."""
    found = [(edge["index"], to) for to, edge in graph.adj[key].items() if edge["kind"] == kind]
    return [to for _, to in sorted(found)]


def join_of(graph: Graph, fork: str) -> Join | None:
    """The join that collects a fork's members, if any."""
    key = join_key(fork.removeprefix("fork:"))
    return node_of(graph, key) if key in graph else None  # type: ignore[return-value]
