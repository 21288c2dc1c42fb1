"""``Workflow``: compose tasks into any acyclic graph."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from canvas.context import current_app
from canvas.errors import CompositionError, EncodeError
from canvas.model.workflow_definition import IncomingEdge, NodeDefinition
from canvas.model.workflow_run import Edge, InputBinding
from canvas.primitives.cycles import refuse_cycles
from canvas.primitives.mapping import chunks
from canvas.primitives.misuse import advice
from canvas.primitives.signature import Signature
from canvas.wire import codecs
from canvas.workflows.called_tasks import calls_of
from canvas.workflows.references import Branch, Node, Reference, without_references

if TYPE_CHECKING:
    from canvas.workflows.run import Run

_ON_FAILURE = ("fail", "continue")
_BINDABLE = ("args", "kwargs", "options")
_START_OPTIONS = ("expires", "timeout", "target")


class Workflow:
    """A graph of tasks. Handles that ``add``, ``map`` and ``branch`` return stand for results to come::

    flow = Workflow("etl")
    rows = flow.add(extract.s(url))
    totals = flow.add(stats.s(rows=rows, mode="fast"))
    flow.add(report.s(rows, totals=totals["sum"]))
    run = flow.apply_async()
    run["report"].get()
    """

    def __init__(self, name: str = "workflow", app: Any = None) -> None:
        self.name = name
        self._app = app
        self.entries: list[NodeDefinition] = []
        self._numbers: dict[str, int] = {}

    @property
    def app(self) -> Any:
        """The app that runs it: its own, a signature's, or the current one."""
        return self._app or current_app()

    def entry(self, number: int) -> NodeDefinition:
        return self.entries[number]

    # -- composing

    def add(
        self,
        sig: Signature[Any],
        *,
        name: str | None = None,
        after: Reference | Iterable[Reference] = (),
        on_failure: str = "fail",
        default: Any = None,
        compensate: Signature[Any] | None = None,
    ) -> Node:
        """A node that runs ``sig``: a task, chain, group or chord; chunks are the group they stand for.

        Handles in its arguments, however deep, are replaced by results; it runs ``after`` further nodes without
        taking anything of theirs. With ``on_failure="continue"`` its failure does not fail the run: what follows takes
        ``default``. ``compensate`` runs when the run fails and this node had succeeded; it takes the node's result
        unless it is immutable.

        Raises CompositionError naming the node for a duplicate name, a handle of another workflow, an argument that
        cannot be written, and TypeError for arguments that do not fit a task that is known here.
        """
        entry = NodeDefinition(self._named(name, sig), "task")
        self._check_signature(entry.name, sig)
        if isinstance(sig, chunks):
            sig = sig.group()
        entry.sig = self._bound(entry, sig)
        self._check_arguments(entry.name, sig)
        self._policy(entry, on_failure, default, compensate)
        self._order(entry, after)
        return Node(self, self._append(entry, sig))

    def map(
        self,
        sig: Signature[Any],
        over: Reference,
        *,
        name: str | None = None,
        after: Reference | Iterable[Reference] = (),
        on_failure: str = "fail",
        default: Any = None,
        depth: int = 1,
    ) -> Node:
        """A node that runs ``sig`` once for each item of a list that a node gives, the item before its other arguments;
        its result is the list of their results, in order. With a ``depth`` of 2 the list's items are lists, and ``sig``
        runs for each item of those; the result is nested as they are.

        With ``on_failure="continue"`` an item that fails gives ``default``.
        """
        entry = NodeDefinition(self._named(name, sig), "map")
        self._check_signature(entry.name, sig)
        if not isinstance(over, Reference):
            raise CompositionError(
                f"{entry.name}: over: expected a node of this workflow; got {over!r:.100}; for items that are known "
                "already, add group(task.s(item) for item in items)"
            )
        if type(depth) is not int or depth < 1:
            raise CompositionError(f"{entry.name}: depth: expected a whole number above 0; got {depth!r:.100}")
        entry.depth = depth
        slot = self._slot(entry, over, "data")
        entry.sig = self._bound(entry, sig)
        entry.binds.insert(0, InputBinding((), slot, over.pick))
        self._check_arguments(entry.name, sig, 1)
        self._policy(entry, on_failure, default, None)
        self._order(entry, after)
        return Node(self, self._append(entry, sig))

    def branch(
        self,
        on: Reference,
        arms: Mapping[Any, Signature[Any] | Node],
        otherwise: Signature[Any] | Node | None = None,
        *,
        name: str | None = None,
    ) -> Branch:
        """Run the one of ``arms`` whose key is the value of ``on``, or ``otherwise``; the others, and what needs them,
        are skipped: all arms, where no key fits and there is no ``otherwise``. An arm is a signature, or
        a node that then waits for the choice."""
        name = self._free_name(name or "branch")
        if not isinstance(on, Reference):
            raise CompositionError(f"{name}: on: expected a node of this workflow; got {on!r:.100}")
        if not arms:
            raise CompositionError(f"{name}: expected at least one arm")
        choose = NodeDefinition(f"{name}?", "choose", choices=list(arms), hidden=True)
        choose.binds.append(InputBinding((), self._slot(choose, on, "data"), on.pick))
        self._writable(choose.name, choose.choices)
        chosen = self._append(choose, None)
        given = [*arms.items(), *([] if otherwise is None else [("otherwise", otherwise)])]
        nodes = {key: self._arm(name, chosen, at, key, arm) for at, (key, arm) in enumerate(given)}
        merge = NodeDefinition(name, "merge")
        for node in nodes.values():
            self._slot(merge, node, "data")
        return Branch(self, self._append(merge, None), nodes)

    def _arm(self, name: str, chosen: int, at: int, key: Any, arm: Any) -> Node:
        node = arm if isinstance(arm, Node) else self.add(arm, name=self._free_name(f"{name}.{key}"))
        self._own(name, node)
        self.entry(node.number).sources.append(IncomingEdge(chosen, "condition", at))
        return node

    def order(self, before: Reference, after: Reference) -> None:
        """Let ``after`` start only when ``before`` has ended. A cycle is found when the workflow is compiled."""
        self._own("order", before)
        self._own("order", after)
        self._slot(self.entry(after.number), before, "order")

    def __getitem__(self, name: str) -> Node:
        try:
            return Node(self, self._numbers[name])
        except KeyError:
            known = ", ".join(entry.name for entry in self.entries if not entry.hidden)
            raise KeyError(f"{self.name} has no node {name!r}; it has {known or 'none'}") from None

    def __len__(self) -> int:
        return sum(not entry.hidden for entry in self.entries)

    def __repr__(self) -> str:
        return f"<Workflow {self.name}: {len(self)} nodes>"

    def _repr_svg_(self) -> str | None:
        """Its picture for a notebook; ``None`` where it cannot be compiled yet."""
        try:
            return self.draw("svg")
        except CompositionError:
            return None

    # -- running

    def apply_async(self, **options: Any) -> "Run":
        """Start a run of it; options as ``start`` of ``canvas.workflows.run``: ``expires``, ``timeout``, ``target``.

        Under ``task_always_eager`` the run is carried out here, and has ended when this returns. Raises TypeError for
        an unknown option.
        """
        from canvas.workflows.run import start

        return start(self, **_known(self.name, options))

    delay = apply_async

    def apply(self, **options: Any) -> "Run":
        """Run it here and now, as ``apply_async`` does under ``task_always_eager``: nothing is sent, nothing is stored
        unless ``task_store_eager_result`` is on, and the run has ended when this returns. Options as ``apply_async``.
        """
        from canvas.workflows.run import start

        return start(self, **_known(self.name, options), in_process=True)

    async def aapply_async(self, **options: Any) -> "Run":
        """``apply_async``, without blocking the event loop."""
        from canvas.workflows.run import astart

        return await astart(self, **_known(self.name, options))

    # -- looking

    def draw(self, form: str = "text") -> str:
        """A picture: ``text`` for terminals, ``mermaid``, ``dot``, ``svg``."""
        from canvas.graph.pictures.drawing import draw

        return draw(self.entries, form)

    def to_graph(self) -> Any:
        """A ``networkx.DiGraph`` whose nodes, by name, carry ``signature``, and whose edges say how they are bound."""
        from canvas.workflows.networkx import to_graph

        return to_graph(self)

    @classmethod
    def from_graph(cls, graph: Any, name: str = "workflow", app: Any = None) -> "Workflow":
        """The workflow that a ``networkx.DiGraph`` describes (``to_graph``)."""
        from canvas.workflows.networkx import from_graph

        flow = cls(name, app)
        from_graph(flow, graph)
        return flow

    # -- parts of these

    def _append(self, entry: NodeDefinition, sig: Signature[Any] | None) -> int:
        if sig is not None and self._app is None:
            self._app = sig.given_app()
        self.entries.append(entry)
        self._numbers[entry.name] = len(self.entries) - 1
        return len(self.entries) - 1

    def _named(self, name: str | None, sig: Any) -> str:
        if name is not None:
            if not isinstance(name, str) or not name:
                raise CompositionError(f"{self.name}: name: expected text; got {name!r:.100}")
            if name in self._numbers:
                raise CompositionError(f"{self.name}: there is a node {name!r} already; give this one another name")
            return name
        task = sig.get("task") if isinstance(sig, dict) else None
        return self._free_name(str(task or "node").rpartition(".")[2])

    def _free_name(self, name: str) -> str:
        found, number = name, 2
        while found in self._numbers:
            found, number = f"{name}-{number}", number + 1
        return found

    def _check_signature(self, name: str, sig: Any) -> None:
        if not isinstance(sig, Signature):
            raise CompositionError(f"{name}: expected a signature, such as task.s(…); got {sig!r:.100}{advice(sig)}")
        refuse_cycles(sig)
        if sig.subtask_type == "chain" and not sig.members():
            raise CompositionError(f"{name}: an empty chain has no result; expected at least one step")

    def _check_arguments(self, name: str, sig: Signature[Any], before: int = 0) -> None:
        """Raise TypeError where a known task of a node cannot take its arguments, ``before`` of others in front."""
        app = self._app or sig.given_app()
        for task_sig, taken in calls_of(sig, before) if app is not None else ():
            # Reading ``app.tasks`` would finalize an app whose module is still being imported.
            task = app.registry.get(task_sig["task"])
            given = tuple(task_sig["args"])
            if task is not None:
                try:
                    task.check_arguments((*[None] * taken, *given), task_sig["kwargs"])
                except TypeError as exc:
                    raise TypeError(f"{self.name}: {name}: {exc}") from None

    def _bound(self, entry: NodeDefinition, sig: Signature[Any]) -> dict[str, Any]:
        def found(path: tuple[Any, ...], reference: Reference) -> None:
            if path[0] not in _BINDABLE:
                raise CompositionError(f"{entry.name}: {path[0]}: a result cannot stand there")
            entry.binds.append(InputBinding(path, self._slot(entry, reference, "data"), reference.pick))

        plain: dict[str, Any] = without_references(dict(sig), found)
        self._writable(entry.name, plain)
        return plain

    def _slot(self, entry: NodeDefinition, reference: Reference, edge: Edge) -> int:
        """The place of a parent among the entry's inputs; a parent that gives a value needs no order besides."""
        self._own(entry.name, reference)
        for slot, source in enumerate(entry.sources):
            if source.number == reference.number and source.arm is None:
                if edge == "data":
                    source.edge = "data"
                return slot
        entry.sources.append(IncomingEdge(reference.number, edge))
        return len(entry.sources) - 1

    def _own(self, name: str, reference: Any) -> None:
        if not isinstance(reference, Reference):
            raise CompositionError(f"{name}: expected a node of this workflow; got {reference!r:.100}")
        if reference.flow is not self:
            raise CompositionError(
                f"{name}: {reference.name!r} is a node of workflow {reference.flow.name!r}, not of {self.name!r}"
            )

    def _order(self, entry: NodeDefinition, after: Any) -> None:
        for reference in [after] if isinstance(after, Reference) else after:
            self._slot(entry, reference, "order")

    def _policy(self, entry: NodeDefinition, on_failure: str, default: Any, compensate: Signature[Any] | None) -> None:
        if on_failure not in _ON_FAILURE:
            raise CompositionError(
                f"{entry.name}: on_failure: expected one of {', '.join(_ON_FAILURE)}; got {on_failure!r:.100}"
            )
        entry.goes_on, entry.default = on_failure == "continue", default
        self._writable(entry.name, default)
        if compensate is not None:
            self._check_signature(f"{entry.name}: compensate", compensate)

            def refuse(path: tuple[Any, ...], reference: Reference) -> None:
                raise CompositionError(
                    f"{entry.name}: compensate takes no results but the node's own; got {reference!r}"
                )

            entry.compensate = without_references(dict(compensate), refuse)
            self._check_arguments(f"{entry.name}: compensate", compensate, 1)
            self._writable(entry.name, entry.compensate)

    def _writable(self, name: str, value: Any) -> None:
        serializer = self.app.conf.task_serializer if self._app is not None else "json"
        try:
            codecs.encode(value, serializer)
        except EncodeError as exc:
            raise CompositionError(f"{self.name}: {name}: {exc}") from exc


def _known(name: str, options: dict[str, Any]) -> dict[str, Any]:
    """The options of a run. Raises TypeError for one that there is not."""
    for option in options:
        if option not in _START_OPTIONS:
            close = get_close_matches(option, _START_OPTIONS, 1)
            hint = f"did you mean {close[0]}? " if close else ""
            raise TypeError(
                f"workflow {name!r} has no option {option!r} for its runs: {hint}expected {', '.join(_START_OPTIONS)}; "
                "options of messages, such as queue, belong to the nodes' signatures: task.s(…).set(queue=…)"
            )
    return options
