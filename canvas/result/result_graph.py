"""The results below a result, as a graph: which of them each one waits for."""

import json
from collections.abc import Iterator
from typing import Any, TextIO


class ResultGraph(dict[Any, list[Any]]):
    """Each result → the results that it waits for. Its text is a tree of ids, each with the number of arcs below it."""

    def edges(self) -> Iterator[Any]:
        """The results that wait for others."""
        return (node for node, below in self.items() if below)

    def valency_of(self, node: Any) -> int:
        """The number of arcs below a result, on all ways down; 0 for one that is not in the graph."""
        return sum(1 + self.valency_of(child) for child in self.get(node, ()))

    def topsort(self) -> list[Any]:
        """The results in an order in which each comes after those that it waits for."""
        # Imported late: most programs never sort results.
        from graphlib import TopologicalSorter

        return list(TopologicalSorter(self).static_order())

    def to_dot(self, file: TextIO) -> None:
        """Write the graph into a text file in Graphviz's language."""
        lines = ["digraph dependencies {"]
        for node, below in self.items():
            lines.append(f"    {_quoted(node)}")
            lines += [f"    {_quoted(node)} -> {_quoted(child)}" for child in below]
        file.write("\n".join([*lines, "}", ""]))

    def __repr__(self) -> str:
        return "\n".join(line for node in self for line in self._tree(node, 0))

    def _tree(self, node: Any, depth: int) -> Iterator[str]:
        yield f"{'     ' * depth}{node}({self.valency_of(node)})"
        for child in self.get(node, ()):
            yield from self._tree(child, depth + 1)


def _quoted(node: Any) -> str:
    return json.dumps(str(node), ensure_ascii=False)
