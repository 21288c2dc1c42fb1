"""A workflow as a plain ``networkx.DiGraph``, and back."""

from collections.abc import Iterable
from typing import Any, Protocol

from canvas.errors import CompositionError
from canvas.graph.dag import signature_graph, sorted_names
from canvas.model.workflow_definition import NodeDefinition
from canvas.model.workflow_run import InputBinding, bind_inputs
from canvas.primitives.registry import maybe_signature
from canvas.primitives.signature import Signature
from canvas.workflows.compose.references import Node, Reference


class Graphed(Protocol):
    """A workflow that is written as a graph, or takes the nodes of one."""

    entries: list[NodeDefinition]

    @property
    def app(self) -> Any: ...

    def add(
        self,
        sig: Signature[Any],
        *,
        name: str | None = None,
        after: Reference | Iterable[Reference] = (),
        on_failure: str = "fail",
        default: Any = None,
        compensate: Signature[Any] | None = None,
    ) -> Node: ...

    def __getitem__(self, name: str) -> Node: ...


def to_graph(flow: Graphed) -> Any:
    """Nodes by name, each with its ``signature`` and, if they differ from ``add``'s, ``on_failure``, ``default``,
    ``compensate``. An edge has ``binds``, a list of pairs: the path in the signature where the parent's result stands,
    and the path of the part of it that is taken; or ``order`` if nothing is taken.

    Raises CompositionError for a branch or a map, which a signature cannot express.
    """
    for entry in flow.entries:
        what = _special(entry)
        if what:
            raise CompositionError(
                f"{entry.name.rstrip('?')}: {what} cannot be written as a plain graph; only tasks added with add can"
            )
    return signature_graph(flow.entries, lambda sig: maybe_signature(sig, flow.app))


def _special(entry: NodeDefinition) -> str:
    """The kind of a node that a graph of networkx cannot have; empty for the nodes that it can have."""
    if entry.kind != "task":
        return {
            "choose": "a branch",
            "merge": "a branch",
            "wait": "a wait for a signal",
            "flow": "a workflow",
            "pages": "pages",
        }.get(entry.kind, f"a {entry.kind}")
    if entry.when != "all_success" or entry.limit is not None or entry.always:
        return "a node that always runs" if entry.always else "a timeout" if entry.limit is not None else "a rule"
    return ""


def from_graph(flow: Graphed, graph: Any) -> None:
    """Add to ``flow`` a graph whose nodes carry a ``signature``.

    Results of parents become positional arguments, in the order of the edges and before the signature's own. Edge
    attributes change that: ``arg`` (a position or a keyword), ``pick`` (a key, or a list of keys, of the part that is
    taken), ``order=True`` (nothing is taken), or ``binds`` as ``to_graph`` writes them. Raises CompositionError.
    """
    for node in sorted_names(graph):
        data = graph.nodes[node]
        sig = data.get("signature")
        if not isinstance(sig, Signature):
            raise CompositionError(f"{node}: expected a node attribute 'signature' that is one; got {sig!r:.100}")
        binds: list[InputBinding] = []
        parents: list[Reference] = []
        after: list[Node] = []
        leading: list[Reference] = []
        sig = sig.clone()
        for parent, _, edge in graph.in_edges(node, data=True):
            _edge(flow[str(parent)], edge, binds, parents, after, leading, sig)
        sig["args"] = (*leading, *sig.args)
        whole = bind_inputs(dict(sig), binds, parents) if binds else sig
        given = {key: data[key] for key in ("on_failure", "default", "compensate") if data.get(key) is not None}
        flow.add(maybe_signature(whole, flow.app), name=str(node), after=after, **given)


def _edge(
    parent: Node,
    edge: dict[str, Any],
    binds: list[InputBinding],
    parents: list[Reference],
    after: list[Node],
    leading: list[Reference],
    sig: Signature[Any],
) -> None:
    """Bind one parent as its edge's attributes give it."""
    if edge.get("order"):
        after.append(parent)
        return
    if edge.get("binds"):
        for path, pick in edge["binds"]:
            binds.append(InputBinding(tuple(path), len(parents)))
            parents.append(Reference(parent.flow, parent.number, tuple(pick)))
        return
    pick = edge.get("pick", ())
    reference = Reference(parent.flow, parent.number, tuple(pick) if isinstance(pick, list | tuple) else (pick,))
    place = edge.get("arg")
    if isinstance(place, str):
        sig["kwargs"] = {**sig.kwargs, place: reference}
    elif isinstance(place, int):
        args = [*sig.args, *[None] * (place + 1 - len(sig.args))]
        args[place] = reference
        sig["args"] = tuple(args)
    else:
        leading.append(reference)
