"""A graph of steps, its edges sorted by kind once, so that writing its messages only looks them up."""

from collections import Counter
from typing import Any

from canvas.graph.steps import Fork, Graph, Join, Node, Step, join_key

Edge = dict[str, Any]


class Shape:
    """What each node leads to. It is made anew when the graph changes."""

    def __init__(self, graph: Graph) -> None:
        self.nodes: dict[str, Node] = {}
        self.places: dict[str, tuple[str, int]] = {}
        """Step or fork → the fork around it that is no chord, and its index there."""
        self.belongs: dict[str, str] = {}
        """Step → the group that it counts to without being its member."""
        self.next: dict[str, str] = {}
        self.bodies: dict[str, str] = {}
        """Join → the head of its body."""
        self.parts: dict[str, tuple[Join, int]] = {}
        """Step → the join that takes its result, and as which value."""
        self.sizes: Counter[str] = Counter()
        """Join → how many parts it waits for."""
        self.members: dict[str, list[tuple[str, Edge]]] = {}
        """Fork → its members in order, each with what its edge carries."""
        self.joins: dict[str, Join] = {}
        """Fork → the join that collects its members."""
        self._units: dict[str, list[str]] = {}
        self._body_units: dict[str, list[str]] = {}
        self._read_nodes(graph)
        self._read_edges(graph)

    def _read_nodes(self, graph: Graph) -> None:
        for key, about in graph.nodes.items():
            node = self.nodes[key] = about["node"]
            if "place" in about:
                self.places[key] = about["place"]
            if "belongs" in about:
                self.belongs[key] = about["belongs"]
            if isinstance(node, Fork):
                self.members[key] = []
                collected = join_key(node.id)
                if collected in graph:
                    self.joins[key] = graph.nodes[collected]["node"]

    def _read_edges(self, graph: Graph) -> None:
        for key, following in graph.adjacency():
            for to, edge in following.items():
                match edge["kind"]:
                    case "next":
                        self.next[key] = to
                    case "member":
                        self.members[key].append((to, edge))
                    case "part":
                        self.parts[key] = (graph.nodes[to]["node"], edge["index"])
                        self.sizes[to] += 1
                    case "body":
                        self.bodies[key] = to
        for members in self.members.values():
            members.sort(key=_index)

    def units(self, head: str) -> list[str]:
        """``head`` and the units after it, in order; after a chord comes what follows its body."""
        found = self._units.get(head)
        if found is None:
            found = []
            unit: str | None = head
            while unit is not None:
                found.append(unit)
                unit = self._after(unit)
            self._units[head] = found
        return found

    def _after(self, unit: str) -> str | None:
        while not isinstance(self.nodes[unit], Step):
            join = self.joins.get(unit)
            if join is None:
                return None
            unit = self.body_units(join)[-1]
        return self.next.get(unit)

    def body_units(self, join: Join) -> list[str]:
        """The units that Celery's form embeds as the body of ``join``."""
        found = self._body_units.get(join.id)
        if found is None:
            found = self._body_units[join.id] = self._first_units(self.bodies[join_key(join.id)], join.extent)
        return found

    def _first_units(self, head: str, extent: int) -> list[str]:
        units = [head]
        while len(units) < extent:
            following = self._after(units[-1])
            if following is None:
                break
            units.append(following)
        return units


def _index(member: tuple[str, Edge]) -> Any:
    return member[1]["index"]
