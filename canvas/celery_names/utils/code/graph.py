"""Names of ``celery.utils.graph``: objects, each with those that it depends on, and their picture for Graphviz."""

from collections.abc import Iterable, Iterator, Mapping
from graphlib import CycleError as _Cycle
from graphlib import TopologicalSorter
from types import SimpleNamespace
from typing import Any, TextIO

DOT = SimpleNamespace(
    HEAD="\n{IN}{type} {id} {{\n{INp}graph [{attrs}]\n", ATTR="{name}={value}", NODE='{INp}"{0}" [{attrs}]',
    EDGE='{INp}"{0}" {dir} "{1}" [{attrs}]', ATTRSEP=", ", DIRS={"graph": "--", "digraph": "->"}, TAIL="{IN}}}",
)  # fmt: skip
"""The pieces of a picture's text."""


class CycleError(Exception):
    """Objects depend on each other."""


class GraphFormatter:
    """How a graph is drawn: override its methods, or give other attributes."""

    scheme: dict[str, Any] = {"shape": "box", "arrowhead": "vee", "style": "filled", "fontname": "HelveticaNeue"}
    edge_scheme: dict[str, Any] = {"color": "darkseagreen4", "arrowcolor": "black", "arrowsize": 0.7}
    node_scheme: dict[str, Any] = {"fillcolor": "palegreen3", "color": "palegreen4"}
    term_scheme: dict[str, Any] = {"fillcolor": "palegreen1", "color": "palegreen2"}
    graph_scheme: dict[str, Any] = {"bgcolor": "mintcream"}

    def __init__(
        self, root: Any = None, type: str | None = None, id: str | None = None, indent: int = 0, inw: str = " " * 4,
        **scheme: Any,
    ) -> None:  # fmt: skip
        """``root``, ``type`` (graph or digraph) and ``id`` of the picture; ``scheme``: further attributes."""
        self.id, self.root, self.type = id or "dependencies", root, type or "digraph"
        self.direction = DOT.DIRS[self.type]
        self.IN = inw * (indent or 0)
        self.INp = self.IN + inw
        self.scheme = {**self.scheme, **scheme}
        self.graph_scheme = {**self.graph_scheme, "root": self.label(self.root)}

    def attr(self, name: str, value: Any) -> bytes:
        """An attribute."""
        return self.FMT(DOT.ATTR, name=name, value=f'"{value}"')

    def attrs(self, d: Mapping[str, Any] | None, scheme: Mapping[str, Any] | None = None) -> str:
        """Attributes: of all, of a kind, and of one."""
        merged = {**self.scheme, **(scheme or {}), **(d or {})}
        return str(DOT.ATTRSEP).join(self.attr(name, value).decode() for name, value in merged.items())

    def head(self, **attrs: Any) -> bytes:
        """The start of the picture."""
        return self.FMT(DOT.HEAD.strip(), id=self.id, type=self.type, attrs=self.attrs(attrs, self.graph_scheme))

    def tail(self) -> bytes:
        """The end of the picture."""
        return self.FMT(DOT.TAIL)

    def label(self, obj: Any) -> Any:
        """The name of an object."""
        return obj

    def node(self, obj: Any, **attrs: Any) -> bytes:
        """An object that depends on others."""
        return self.draw_node(obj, self.node_scheme, attrs)

    def terminal_node(self, obj: Any, **attrs: Any) -> bytes:
        """An object that depends on none."""
        return self.draw_node(obj, self.term_scheme, attrs)

    def edge(self, a: Any, b: Any, **attrs: Any) -> bytes:
        """A dependency."""
        return self.draw_edge(a, b, **attrs)

    def FMT(self, fmt: str, *args: Any, **kwargs: Any) -> bytes:
        """A piece, filled in."""
        return fmt.format(*args, **kwargs, IN=self.IN, INp=self.INp).encode("utf-8", "ignore")

    def draw_edge(self, a: Any, b: Any, scheme: Any = None, attrs: Mapping[str, Any] | None = None) -> bytes:
        """An arrow."""
        shown = self.attrs(attrs, self.edge_scheme)
        return self.FMT(DOT.EDGE, self.label(a), self.label(b), dir=self.direction, attrs=shown)

    def draw_node(
        self, obj: Any, scheme: Mapping[str, Any] | None = None, attrs: Mapping[str, Any] | None = None
    ) -> bytes:
        """A box."""
        return self.FMT(DOT.NODE, self.label(obj), attrs=self.attrs(attrs, scheme))


class DependencyGraph:
    """Objects, each with those that it depends on. Its text is a tree, with the number of arcs below each object."""

    def __init__(self, it: Iterable[tuple[Any, Iterable[Any]]] | None = None, formatter: Any = None) -> None:
        """``it``: each object with what it depends on."""
        self.formatter: Any = formatter or GraphFormatter()
        self.adjacent: dict[Any, list[Any]] = {}
        if it is not None:
            self.update(it)

    def add_arc(self, obj: Any) -> None:
        """Add an object."""
        self.adjacent.setdefault(obj, [])

    def add_edge(self, A: Any, B: Any) -> None:
        """``A``, which is in the graph, depends on ``B``."""
        self[A].append(B)

    def connect(self, graph: "DependencyGraph") -> None:
        """Add the objects of another graph."""
        self.adjacent.update(graph.adjacent)

    def update(self, it: Iterable[tuple[Any, Iterable[Any]]]) -> None:
        """Add objects, each with what it depends on."""
        pairs = list(it)
        for obj, _ in pairs:
            self.add_arc(obj)
        for obj, below in pairs:
            for other in below:
                self.add_edge(obj, other)

    def topsort(self) -> list[Any]:
        """The objects, each after those that it depends on. Raises CycleError."""
        try:
            return list(TopologicalSorter(self.adjacent).static_order())
        except _Cycle as exc:
            raise CycleError(*exc.args) from None

    def valency_of(self, obj: Any) -> int:
        """The number of arcs below an object, on all ways down; 0 for one that is not in the graph."""
        return sum(1 + self.valency_of(other) for other in self.adjacent.get(obj, ()))

    def edges(self) -> Iterator[Any]:
        """The objects that depend on others."""
        return (obj for obj, below in self.items() if below)

    def to_dot(self, fh: TextIO, formatter: Any = None) -> None:
        """Write the graph into a text file in Graphviz's language."""
        draw, seen = formatter or self.formatter, set()
        lines = [draw.head()]
        for obj, below in self.items():
            if draw.label(obj) not in seen:
                seen.add(draw.label(obj))
                lines.append(draw.node(obj) if below else draw.terminal_node(obj))
            lines += [draw.edge(obj, other) for other in below]
        for line in (*lines, draw.tail()):
            print(line.decode() if isinstance(line, bytes) else line, file=fh)

    def format(self, obj: Any) -> Any:
        """An object, passed through the formatter."""
        return self.formatter(obj) if self.formatter else obj

    def items(self) -> Any:
        """Each object with what it depends on."""
        return self.adjacent.items()

    iteritems = items

    def __iter__(self) -> Iterator[Any]:
        return iter(self.adjacent)

    def __getitem__(self, node: Any) -> list[Any]:
        return self.adjacent[node]

    def __len__(self) -> int:
        return len(self.adjacent)

    def __contains__(self, obj: Any) -> bool:
        return obj in self.adjacent

    def __repr__(self) -> str:
        return "\n".join(self.repr_node(node) for node in self)

    def repr_node(self, obj: Any, level: int = 1, fmt: str = "{0}({1})") -> str:
        """The tree below an object."""
        lines = [fmt.format(obj, self.valency_of(obj))]
        for other in self.adjacent.get(obj, ()):
            lines.append("     " * level + fmt.format(other, self.valency_of(other)))
            lines += self.repr_node(other, level + 1).split("\n")[1:]
        return "\n".join(lines)
