"""``Workflow``: compose tasks into any acyclic graph."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from canvas.caller_warnings import ends_in_caller
from canvas.context import composing
from canvas.errors import CompositionError
from canvas.model.workflow_definition import IncomingEdge, NodeDefinition
from canvas.model.workflow_run import ANY, WORKFLOWS, InputBinding, When
from canvas.primitives.mapping import chunks
from canvas.primitives.signature import Signature
from canvas.workflows.compose.other_names import hint, refuse_other_names
from canvas.workflows.compose.paging import PageComposition
from canvas.workflows.compose.references import Branch, MapNode, Node, Reference

if TYPE_CHECKING:
    from canvas.workflows.run import Run
    from canvas.workflows.services import ComposingApp

_START_OPTIONS = ("expires", "timeout", "target", "inputs", "labels", "concurrency", "run_key", "run_key_mismatch")
_TIMES = ("countdown", "eta")


@ends_in_caller("add", "map", "branch", "loop", "apply_async", "delay", "aapply_async", "adelay", "draw")
class Workflow(PageComposition):
    """A graph of tasks. Handles that ``add``, ``map`` and ``branch`` return stand for results to come.

    Lists of runs show ``name``. ``app`` runs it; by default the app of its first signature.

    >>> from canvas import Canvas
    >>> app = Canvas("etl", broker="memory://", backend="memory://")
    >>> load = app.task(lambda: {"sum": 3}, name="load")
    >>> report = app.task(lambda total: f"total {total}", name="report")
    >>> flow = Workflow("etl", app)
    >>> rows = flow.add(load.s())
    >>> last = flow.add(report.s(rows["sum"]))
    >>> flow.apply().get()
    'total 3'
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        WORKFLOWS.add(cls)

    @classmethod
    def current(cls) -> "Workflow":
        """The workflow that the calling ``@workflow`` function composes: for nodes that are not calls of tasks, such as
        ``Workflow.current().sleep(60)``. Raises CompositionError anywhere else."""
        flow = composing.get()
        if not isinstance(flow, Workflow):
            raise CompositionError("no workflow is being composed here: call it inside a function with @workflow")
        return flow

    @refuse_other_names("add")
    def add(  # type: ignore[override] # with its options by name
        self,
        sig: "Signature[Any] | Workflow",
        *,
        name: str | None = None,
        after: Reference | Iterable[Reference] = (),
        on_failure: str = "fail",
        default: Any = None,
        compensate: Signature[Any] | None = None,
        when: When = "all_success",
        inputs: Mapping[str, Any] | None = None,
    ) -> Node:
        """A node that runs a signature.

        Args:
            sig: A task, chain, group, chord, chunks, or a workflow, which has a run of its own. Handles in its
                arguments, at any depth, are replaced by results.
            name: The node's name. Default: the task's, with a number if it is taken.
            after: Nodes that must have ended before; their results are not taken.
            on_failure: ``"fail"``, or ``"continue"``: its failure does not fail the run.
            default: The result of a node that failed under ``"continue"``.
            compensate: A signature that runs if the run fails after this node succeeded; it takes the node's result.
            when: Which ends of its parents start it: ``all_success``, ``all_done``, ``any_success``, ``any_done`` (the
                first such end) or ``none_failed``. A result that is not there is ``None``.
            inputs: The values of the inputs, if ``sig`` is a workflow.

        Raises:
            CompositionError: A duplicate name, a handle of another workflow, or an argument that cannot be written.
            TypeError: Arguments that do not fit a task that is known here.
        """
        if isinstance(sig, Workflow):
            own = self._named_or(name, sig.name)
            entry = NodeDefinition(own, "flow")
            self._inside(entry, sig, inputs or {})
        else:
            entry = NodeDefinition(self._named(name, sig), "task")
            self._add_signature(entry, sig, inputs)
        self._policy(entry, on_failure, default, compensate)
        self._rule(entry, when)
        self._order(entry, after)
        return Node(self, self._append(entry, None if isinstance(sig, Workflow) else sig))

    def _add_signature(self, entry: NodeDefinition, sig: Any, inputs: Any) -> None:
        self._check_signature(entry.name, sig)
        if inputs:
            raise CompositionError(f"{entry.name}: inputs: only a workflow has any; give them to the signature")
        if isinstance(sig, chunks):
            sig = sig.group()
        entry.sig = self._bound(entry, sig)
        self._check_arguments(entry.name, sig)

    @refuse_other_names("branch")
    def branch(
        self,
        on: Reference,
        arms: Mapping[Any, Signature[Any] | Node],
        otherwise: Signature[Any] | Node | None = None,
        *,
        name: str | None = None,
    ) -> Branch:
        """Run one of several nodes. The others, and the nodes that need them, are skipped.

        Args:
            on: The handle whose value chooses.
            arms: Signatures, or nodes, by the value that chooses each.
            otherwise: The arm of all other values. Without it, such a value skips all arms.
            name: The branch's name.
        """
        name = self._free_name(name or "branch")
        if not isinstance(on, Reference):
            raise CompositionError(f"{name}: on: expected a node of this workflow; got {on!r:.100}")
        if not isinstance(arms, Mapping):
            raise CompositionError(f"{name}: arms: expected a mapping of values to signatures; got {arms!r:.100}")
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
        self._refuse_fed(name, node, "let the first map of the line be the arm")
        if self.entry(node.number).when in ANY:
            raise CompositionError(f"{name}: {node.name}: an arm of a branch cannot start before the choice is made")
        self.entry(node.number).sources.append(IncomingEdge(chosen, "condition", at))
        return node

    def order(self, before: Reference, after: Reference) -> None:
        """Let ``after`` start only when ``before`` has ended. A cycle is found when the workflow is compiled."""
        self._own("order", before)
        self._own("order", after)
        self._needs(self.entry(after.number), before, "order")

    def __getitem__(self, name: str) -> Node:
        try:
            number = self._numbers[name]
        except KeyError:
            known = ", ".join(entry.name for entry in self.entries if not entry.hidden)
            raise KeyError(f"{self.name} has no node {name!r}; it has {known or 'none'}") from None
        return MapNode(self, number) if self.entry(number).kind == "map" else Node(self, number)

    def __len__(self) -> int:
        return sum(not entry.hidden for entry in self.entries)

    def __repr__(self) -> str:
        return f"<Workflow {self.name}: {len(self)} nodes>"

    def _repr_svg_(self) -> str | None:
        """Its picture for a notebook; ``None`` if it cannot be compiled yet."""
        try:
            return self.draw("svg")
        except CompositionError:
            return None

    def apply_async(self, **options: Any) -> "Run":
        """Start a run of it, or find the run that was started with the same ``run_key``. Options are those of
        ``canvas.workflows.start.StartOptions``: ``expires``, ``timeout``, ``target``, ``labels``, ``concurrency``,
        ``run_key`` and ``run_key_mismatch``.

        Under ``task_always_eager`` the run is carried out here, and has ended when this returns. Raises TypeError for
        an unknown option.
        """
        from canvas.workflows.start import start

        return start(self, **self._known(options))

    delay = apply_async

    def apply(self, **options: Any) -> "Run":
        """Run it here and now, as ``apply_async`` does under ``task_always_eager``: nothing is sent, nothing is stored
        unless ``task_store_eager_result`` is on, and the run has ended when this returns. Options as ``apply_async``,
        and ``signals``: the payloads, by the signal's name, for nodes that wait for signals; a list of pairs gives
        several of one name. Times pass at once.
        """
        from canvas.workflows.start import start

        signals = options.pop("signals", None)
        return start(self, **self._known(options), in_process=True, signals=signals)

    async def aapply_async(self, **options: Any) -> "Run":
        """``apply_async``, without blocking the event loop."""
        from canvas.workflows.start import astart

        return await astart(self, **self._known(options))

    adelay = aapply_async

    def _known(self, options: dict[str, Any]) -> dict[str, Any]:
        """The options of a run. Raises TypeError for an unknown one."""
        unknown = next((option for option in options if option not in _START_OPTIONS), None)
        if unknown is None:
            return options
        close = get_close_matches(unknown, _START_OPTIONS, 1)
        expected = f"expected {', '.join(_START_OPTIONS)}"
        if any(entry.kind == "input" and entry.name == unknown for entry in self.entries):
            instead = f"it is an input: write inputs={{{unknown!r}: …}}"
        elif unknown in _TIMES:
            instead = f"to start later, let the first nodes run after flow.sleep(…); {expected}"
        elif (known := hint("start", unknown)) is not None:
            instead = known
        else:
            instead = f"did you mean {close[0]}? {expected}" if close else expected
            instead += "; options of messages, such as queue, belong to the nodes' signatures: task.s(…).set(queue=…)"
        raise TypeError(f"workflow {self.name!r} has no option {unknown!r} for its runs: {instead}")

    def draw(self, form: str = "text") -> str:
        """A picture. ``form``: ``text`` for terminals, ``mermaid``, ``dot`` or ``svg``."""
        from canvas.graph.pictures.drawing import draw

        return draw(self.entries, form)

    def to_graph(self) -> Any:
        """A ``networkx.DiGraph`` whose nodes, by name, carry ``signature``, and whose edges carry the bindings."""
        from canvas.workflows.compose.networkx import to_graph

        return to_graph(self)

    @classmethod
    def from_graph(cls, graph: Any, name: str = "workflow", app: "ComposingApp | None" = None) -> "Workflow":
        """The workflow that ``graph`` describes, a ``networkx.DiGraph`` as ``to_graph`` gives it. ``name`` and ``app``
        are the new workflow's. Raises CompositionError."""
        from canvas.workflows.compose.networkx import from_graph

        flow = cls(name, app)
        from_graph(flow, graph)
        return flow


WORKFLOWS.add(Workflow)
