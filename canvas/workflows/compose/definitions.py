"""The nodes of a workflow under composition: their names, their inputs, and checks of their signatures."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, get_args

from canvas.context import current_app
from canvas.errors import CompositionError, EncodeError
from canvas.model.workflow_definition import IncomingEdge, NodeDefinition
from canvas.model.workflow_run import Edge, InputBinding, When
from canvas.primitives.cycles import check_member, refuse_cycles
from canvas.primitives.misuse import advice
from canvas.primitives.signature import Signature
from canvas.producer.option_checks import check_options
from canvas.wire import codecs
from canvas.workflows.compose.called_tasks import calls_of
from canvas.workflows.compose.other_names import OtherMethods
from canvas.workflows.compose.references import Reference, without_references

if TYPE_CHECKING:
    from canvas.workflows.services import ComposingApp

_ON_FAILURE = ("fail", "continue")
_WHEN = get_args(When)
_BINDABLE = ("args", "kwargs", "options")


class NodeDefinitions(OtherMethods):
    """The nodes of one workflow, in the order in which they were added."""

    def __init__(self, name: str = "workflow", app: "ComposingApp | None" = None) -> None:
        if not isinstance(name, str):
            raise CompositionError(f"Workflow: name: expected text; got {name!r:.100}: write Workflow(name, app)")
        self.name = name
        self._app = app
        self.entries: list[NodeDefinition] = []
        self._numbers: dict[str, int] = {}
        self._taken: dict[str, int] = {}
        """By name, the number up to which all are taken: many nodes run the same task."""

    @property
    def app(self) -> "ComposingApp":
        """The app that runs it: its own, a signature's, or the current one."""
        return self._app or current_app()

    def entry(self, number: int) -> NodeDefinition:
        """The definition of the node with this number, counted from 0 in the order of adding."""
        return self.entries[number]

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
        if isinstance(sig, NodeDefinitions):
            return self._free_name(sig.name)
        return self._free_name(str(task or "node").rpartition(".")[2])

    def _named_or(self, name: str | None, otherwise: str) -> str:
        """``name``, which must be free; without one, ``otherwise`` with a number where that is needed."""
        return self._free_name(otherwise) if name is None else self._named(name, None)

    def _free_name(self, name: str) -> str:
        if name not in self._numbers:
            return name
        number = self._taken.get(name, 2)
        while f"{name}-{number}" in self._numbers:
            number += 1
        self._taken[name] = number
        return f"{name}-{number}"

    def _check_signature(self, name: str, sig: Any) -> None:
        if not isinstance(sig, Signature):
            raise CompositionError(f"{name}: expected a signature, such as task.s(…); got {sig!r:.100}{advice(sig)}")
        refuse_cycles(sig)
        if sig.subtask_type == "chain" and not sig.members():
            raise CompositionError(f"{name}: an empty chain has no result; expected at least one step")

    def _check_arguments(self, name: str, sig: Signature[Any], before: int = 0) -> None:
        """Raise TypeError if a registered task of a node cannot take its arguments, with ``before`` others in front."""
        app = self._app or sig.given_app()
        for task_sig, taken in calls_of(sig, before) if app is not None else ():
            # Reading ``app.tasks`` would finalize an app whose module is still being imported.
            task = app.registry.get(task_sig["task"])
            given = tuple(task_sig["args"])
            if task is not None:
                try:
                    task.check_typing((*[None] * taken, *given), task_sig["kwargs"])
                except TypeError as exc:
                    raise TypeError(f"{self.name}: {name}: {exc}") from None

    def _bound(self, entry: NodeDefinition, sig: Signature[Any]) -> dict[str, Any]:
        def found(path: tuple[Any, ...], reference: Reference) -> None:
            if path[0] not in _BINDABLE:
                raise CompositionError(f"{entry.name}: {path[0]}: a result cannot stand there")
            entry.binds.append(InputBinding(path, self._slot(entry, reference, "data"), reference.pick))

        plain = without_references(sig, found)
        self._check_plain(entry.name, plain)
        return plain

    def _slot(self, entry: NodeDefinition, reference: Reference, edge: Edge) -> int:
        """The index of a parent among the entry's inputs. A parent that gives a value needs no edge for the order."""
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
            hint = ": pass the handle that flow.add(…) returned" if isinstance(reference, str) else ""
            raise CompositionError(f"{name}: expected a node of this workflow; got {reference!r:.100}{hint}")
        flow: object = reference.flow
        if flow is not self:
            raise CompositionError(
                f"{name}: {reference.name!r} is a node of workflow {reference.flow.name!r}, not of {self.name!r}"
            )

    def _order(self, entry: NodeDefinition, after: Any) -> None:
        references: Any = [after] if isinstance(after, Reference | str) else after
        for reference in references:
            self._slot(entry, reference, "order")

    def _rule(self, entry: NodeDefinition, when: Any) -> None:
        if when not in _WHEN:
            raise CompositionError(f"{entry.name}: when: expected one of {', '.join(_WHEN)}; got {when!r:.100}")
        entry.when = when

    def _policy(self, entry: NodeDefinition, on_failure: str, default: Any, compensate: Signature[Any] | None) -> None:
        if on_failure not in _ON_FAILURE:
            raise CompositionError(
                f"{entry.name}: on_failure: expected one of {', '.join(_ON_FAILURE)}; got {on_failure!r:.100}"
            )
        entry.continue_on_failure, entry.default = on_failure == "continue", default
        self._writable(entry.name, default)
        if compensate is not None:
            self._check_signature(f"{entry.name}: compensate", compensate)

            def refuse(path: tuple[Any, ...], reference: Reference) -> None:
                raise CompositionError(
                    f"{entry.name}: compensate takes no results but the node's own; got {reference!r}"
                )

            entry.compensate = without_references(compensate, refuse)
            self._check_arguments(f"{entry.name}: compensate", compensate, 1)
            self._check_plain(entry.name, entry.compensate)

    def _check_plain(self, name: str, sig: Mapping[str, Any]) -> None:
        """Raise CompositionError for a signature that cannot be written or whose links are not signatures, and
        InvalidTaskError for other options of the wrong kind; also for its members."""
        self._writable(name, sig)
        if sig["options"] or sig["subtask_type"]:
            check_member(sig, check_options)

    def _writable(self, name: str, value: Any) -> None:
        if value is None:
            return
        serializer = self.app.conf.task_serializer if self._app is not None else "json"
        try:
            codecs.encode(value, serializer)
        except EncodeError as exc:
            raise CompositionError(f"{self.name}: {name}: {exc}") from exc
