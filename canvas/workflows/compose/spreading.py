"""The nodes of a workflow that run a task for each item of a list, and lines of them."""

from collections.abc import Iterable, Mapping
from typing import Any

from canvas.errors import CompositionError
from canvas.model.workflow_definition import NodeDefinition
from canvas.model.workflow_run import ANY, Edge, InputBinding, When
from canvas.primitives.signature import Signature
from canvas.workflows.compose.inner import InnerWorkflows
from canvas.workflows.compose.other_names import refuse_other_names
from canvas.workflows.compose.references import MapNode, Node, Reference


class MapComposition(InnerWorkflows):
    """The maps of a workflow."""

    @refuse_other_names("map", "add")
    def map(
        self,
        sig: "Signature[Any] | MapComposition",
        over: Reference | Iterable[Any],
        *,
        name: str | None = None,
        after: Reference | Iterable[Reference] = (),
        on_failure: str = "fail",
        default: Any = None,
        depth: int = 1,
        when: When = "all_success",
        concurrency: int | None = None,
        batch: int | None = None,
        stop_after: int | None = None,
        compensate: Signature[Any] | None = None,
        inputs: Mapping[str, Any] | None = None,
    ) -> MapNode:
        """A node that runs a signature for each item of a list; its result is the list of results, in order.

        ``name``, ``after``, ``on_failure`` and ``when`` are those of ``add``; ``default`` is the result of a
        failed item.

        Args:
            sig: The signature. The item stands before its other arguments. Or a workflow, whose input without a value
                gets the item: each item has a run of its own.
            over: The handle of a node whose result is the list; or a list that is known now, which becomes an input of
                the workflow with this default.
            depth: 2 for a list of lists, whose inner items ``sig`` takes; the result is nested in the same way.
            concurrency: The most items, or batches, that run at once.
            batch: How many items run in one task, one after the other. An item that fails fails its batch, which is not
                retried.
            stop_after: The number of failed items, or batches, at which the map fails and the rest is cancelled.
            compensate: A signature that runs, if the run fails, for the result of each item that succeeded, also where
                the map has failed.
            inputs: The values of the other inputs, if ``sig`` is a workflow.
        """
        entry = NodeDefinition(self._named(name, sig), "map")
        sig = self._run_for_each(entry, sig, inputs)
        over = self._items(entry.name, over)
        if type(depth) is not int or depth < 1:
            raise CompositionError(f"{entry.name}: depth: expected a whole number above 0; got {depth!r:.100}")
        entry.depth = depth
        self._policy(entry, on_failure, default, compensate)
        self._spread(entry, sig, {"concurrency": concurrency, "batch": batch, "stop_after": stop_after})
        slot = self._slot(entry, over, "data")
        entry.sig = self._bound(entry, sig)
        entry.binds.insert(0, InputBinding((), slot, over.pick))
        self._check_arguments(entry.name, sig, 1)
        self._rule(entry, when)
        self._order(entry, after)
        return MapNode(self, self._append(entry, sig))

    @refuse_other_names("map", "add")
    def pipe(
        self,
        sig: "Signature[Any] | MapComposition",
        mapped: Node,
        *,
        name: str | None = None,
        after: Reference | Iterable[Reference] = (),
        on_failure: str = "fail",
        default: Any = None,
        concurrency: int | None = None,
        batch: int | None = None,
        stop_after: int | None = None,
        compensate: Signature[Any] | None = None,
        inputs: Mapping[str, Any] | None = None,
    ) -> MapNode:
        """A node that runs a signature for each result of the map ``mapped``, each as soon as it is there; its result
        is the list of results, in order. The same as ``mapped.map(sig)``.

        An item that failed in ``mapped`` fails here too, and the signature does not run for it. ``mapped`` starts when
        all results that ``sig`` and ``after`` name are there. ``name``, ``on_failure``, ``default``, ``concurrency``,
        ``batch``, ``stop_after``, ``compensate`` and ``inputs`` are those of ``map``. The limit of ``timeout`` counts
        from the start of the first map of the line.

        Raises CompositionError, also for a result that only comes after ``mapped``.
        """
        entry = NodeDefinition(self._named(name, sig), "map")
        sig = self._run_for_each(entry, sig, inputs)
        self._own(entry.name, mapped)
        before = self.entry(mapped.number)
        if before.kind != "map" or mapped.pick:
            raise CompositionError(f"{entry.name}: expected a map of this workflow; got {mapped!r}; use flow.map")
        entry.fed_by, entry.depth = [*before.fed_by, mapped.number], before.depth
        self._policy(entry, on_failure, default, compensate)
        self._spread(entry, sig, {"concurrency": concurrency, "batch": batch, "stop_after": stop_after})
        self._slot(entry, mapped, "data")
        entry.sig = self._bound(entry, sig)
        if any(bind.slot == 0 for bind in entry.binds):
            raise CompositionError(
                f"{entry.name}: its signature takes the whole result of {before.name}, which is there when all of its "
                f"items have ended: use flow.map(…, over={before.name})"
            )
        entry.binds.insert(0, InputBinding((), 0))
        self._check_arguments(entry.name, sig, 1)
        self._order(entry, after)
        for source in entry.sources[1:]:
            self._feeders_need(entry, Reference(self, source.number), source.edge)
        return MapNode(self, self._append(entry, sig))

    def _items(self, name: str, over: Any) -> Reference:
        """The node that gives the items of the map ``name``. Raises CompositionError."""
        if isinstance(over, Reference):
            return over
        if isinstance(over, str | bytes | Mapping) or not isinstance(over, Iterable):
            raise CompositionError(f"{name}: over: expected a node of this workflow, or a list; got {over!r:.100}")
        entry = NodeDefinition(self._free_name(f"{name} items"), "input", details={"default": list(over)})
        self._writable(entry.name, entry.details["default"])
        return Node(self, self._append(entry, None))

    def _spread(self, entry: NodeDefinition, sig: Any, given: Mapping[str, Any]) -> None:
        """Set how many items of a map run at once, run in one task, and may fail. Raises CompositionError."""
        for name, number in given.items():
            if number is None:
                continue
            if type(number) is not int or number < 1:
                raise CompositionError(f"{entry.name}: {name}: expected a whole number above 0; got {number!r:.100}")
            entry.details[name] = number
        if entry.details.get("stop_after") and entry.continue_on_failure:
            raise CompositionError(
                f"{entry.name}: stop_after: a failed item has the default and does not count: leave out stop_after, or "
                'on_failure="continue"'
            )
        if entry.details.get("batch") and (sig.subtask_type is not None or entry.inner is not None):
            got = repr(sig) if entry.inner is None else repr(entry.inner)
            raise CompositionError(f"{entry.name}: batch: expected the signature of one task; got {got:.100}")

    def _needs(self, entry: NodeDefinition, reference: Reference, edge: Edge) -> None:
        """Let a node that is composed already wait for another one."""
        self._slot(entry, reference, edge)
        self._feeders_need(entry, reference, edge)

    def _feeders_need(self, entry: NodeDefinition, reference: Reference, edge: Edge) -> None:
        """Let the maps before a map in its line wait for the nodes that it needs: its first item may run when theirs
        ends."""
        for number in entry.fed_by:
            before = self.entry(number)
            if number == reference.number or self._comes_after(reference.number, number):
                raise CompositionError(
                    f"{entry.name}: {reference.name} ends after {before.name} has begun, so that no result of "
                    f"{before.name} could be taken before all are there: use flow.map(…, over={before.name})"
                )
            if before.when in ANY:
                raise CompositionError(
                    f"{entry.name}: {before.name} starts by {before.when}, and does not wait for {reference.name}: "
                    f"use flow.map(…, over={before.name})"
                )
            self._slot(before, reference, edge)

    def _comes_after(self, number: int, before: int) -> bool:
        """Whether a node depends on the node ``before``."""
        left, seen = [number], set()
        while left:
            for source in self.entry(left.pop()).sources:
                if source.number == before:
                    return True
                if source.number not in seen:
                    seen.add(source.number)
                    left.append(source.number)
        return False

    def _refuse_fed(self, name: str, node: Reference, instead: str) -> None:
        """Raise CompositionError for a map that takes the results of another one by one."""
        entry = self.entry(node.number)
        if entry.fed_by:
            raise CompositionError(
                f"{name}: {entry.name} starts with the items of {self.entry(entry.fed_by[-1]).name}: {instead}"
            )
