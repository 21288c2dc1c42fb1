"""Workflows that are nodes of another one, or that a node of it runs for each of its items or rounds."""

from collections.abc import Iterable, Mapping
from typing import Any, Self

from canvas.errors import CompositionError
from canvas.model.workflow_definition import NodeDefinition
from canvas.model.workflow_run import RUN_WORKFLOW, InputBinding
from canvas.primitives.signature import Signature
from canvas.workflows.compose.definitions import NodeDefinitions
from canvas.workflows.compose.references import Reference, without_references


class InnerWorkflows(NodeDefinitions):
    """A workflow with workflows inside."""

    def nested(self) -> Iterable[Any]:
        """The workflows that are nodes of this one, and those inside of them."""
        for entry in self.entries:
            if entry.inner is not None:
                yield entry.inner
                yield from entry.inner.nested()

    def inputs(self) -> dict[str, NodeDefinition]:
        """The definitions of its inputs, by name."""
        return {entry.name: entry for entry in self.entries if entry.kind == "input"}

    def _inside(self, entry: NodeDefinition, inner: Self, inputs: Mapping[str, Any]) -> None:
        """Let ``entry`` stand for a workflow. Raises CompositionError."""
        self._check_inner(entry.name, inner, inputs)

        def found(path: tuple[Any, ...], reference: Reference) -> None:
            if len(path) > 1:
                raise CompositionError(
                    f"{entry.name}: input {path[0]!r}: expected a node or a value, not a node inside of one"
                )
            entry.binds.append(InputBinding(("inputs", path[0]), self._slot(entry, reference, "data"), reference.pick))

        given = without_references(inputs, found)
        bound = {bind.path[-1] for bind in entry.binds}
        self._writable(entry.name, given)
        entry.details = {"name": inner.name, "inputs": {key: one for key, one in given.items() if key not in bound}}
        entry.inner = inner

    def _run_for_each(self, entry: NodeDefinition, work: Any, inputs: Mapping[str, Any] | None) -> Signature[Any]:
        """The signature of ``entry``'s items or rounds: ``work``, or the task that runs the workflow ``work``. Raises
        CompositionError."""
        if not isinstance(work, InnerWorkflows):
            self._check_signature(entry.name, work)
            if inputs:
                raise CompositionError(f"{entry.name}: inputs: only a workflow has any; give them to the signature")
            return work  # type: ignore[no-any-return]
        given = inputs or {}
        self._check_inner(entry.name, work, given)
        left = {name: one for name, one in work.inputs().items() if name not in given}
        needed = [name for name, one in left.items() if "default" not in one.details] or list(left)
        if len(needed) != 1:
            raise CompositionError(
                f"{entry.name}: expected workflow {work.name!r} to have one input that gets the value, and the others "
                f"by inputs={{…}} or a default; without a value: {', '.join(needed) or 'none'}"
            )
        entry.inner, entry.details["name"] = work, work.name
        return Signature(RUN_WORKFLOW, kwargs={"name": needed[0], "inputs": dict(given)}, app=self._app or work.app)

    def _check_inner(self, name: str, inner: "InnerWorkflows", inputs: Mapping[str, Any]) -> None:
        """Raise CompositionError for a workflow that would be inside of itself, and for unknown inputs."""
        if inner is self or any(self is one for one in inner.nested()):
            raise CompositionError(f"{name}: cycle: workflow {self.name!r} would be a node of itself")
        names = inner.inputs()
        unknown = next((given for given in inputs if given not in names), None)
        if unknown is not None:
            known = ", ".join(sorted(names)) or "none"
            raise CompositionError(f"{name}: workflow {inner.name!r} has no input {unknown!r}; it has {known}")
