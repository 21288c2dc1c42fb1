"""Nodes of a workflow that run no task of their own: times, signals, races, limits, loops, workflows inside."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any

from canvas.errors import CompositionError
from canvas.model.workflow_definition import IncomingEdge, NodeDefinition
from canvas.model.workflow_run import InputBinding
from canvas.primitives.signature import Signature
from canvas.task.payload_schema import schema_of
from canvas.workflows.compose.other_names import refuse_other_names
from canvas.workflows.compose.references import Node, Reference, without_references
from canvas.workflows.compose.spreading import MapComposition
from canvas.workflows.signals import check_name
from canvas.workflows.steps.waits import moment_of, seconds_of

_NOTHING = object()
After = Reference | Iterable[Reference]
_LIMITED = ("task", "map", "loop", "flow", "pages")
_MOST_ROUNDS = 1_000_000


class ControlFlow(MapComposition, ABC):
    """The nodes of a workflow that wait, choose and repeat."""

    def sleep(self, seconds: Any = None, *, until: Any = None, after: After = (), name: str | None = None) -> Node:
        """A node that ends after ``seconds`` (a number, a timedelta, or a node that gives a number), or at the time
        ``until`` (a datetime, its ISO 8601 text, unix seconds, or a node that gives one of them). Its value is
        ``None``.

        It takes no slot of a worker while it waits. ``after`` and ``name`` are those of ``add``. Raises
        CompositionError.
        """
        entry = NodeDefinition(self._named_or(name, "sleep"), "sleep")
        if (seconds is None) == (until is None):
            raise CompositionError(f"{entry.name}: expected either seconds or until")
        given = seconds if until is None else until
        if isinstance(given, Reference):
            entry.details["by"] = "seconds" if until is None else "until"
            entry.binds.append(InputBinding((), self._slot(entry, given, "data"), given.pick))
        elif until is None:
            entry.details["seconds"] = seconds_of(given, entry.name, "seconds")
        else:
            entry.details["until"] = moment_of(given, entry.name)
        self._order(entry, after)
        return Node(self, self._append(entry, None))

    def wait_for(
        self,
        signal: str,
        *,
        timeout: Any = None,
        default: Any = _NOTHING,
        model: Any = None,
        after: After = (),
        name: str | None = None,
        on_failure: str = "fail",
    ) -> Node:
        """A node that ends when ``run.signal(signal, payload)`` is called, with the payload as its value.

        After ``timeout`` seconds (or a timedelta) it ends with ``default``, or fails with NodeTimeout if there is
        none. ``model``: a pydantic model, or another type that pydantic knows, that payloads have to fit. Nodes that
        wait for the same signal get one each, in the order in which they began to wait. ``after``, ``name`` and
        ``on_failure`` are those of ``add``. Raises CompositionError, ConfigurationError where ``model`` needs a package
        that is not installed.
        """
        entry = NodeDefinition(self._named_or(name, signal), "wait")
        entry.details["signal"] = check_name(signal, entry.name)
        if timeout is not None:
            entry.details["timeout"] = seconds_of(timeout, entry.name, "timeout")
        if default is not _NOTHING:
            if timeout is None:
                raise CompositionError(
                    f"{entry.name}: default: has an effect only with timeout: give timeout too, or leave out default"
                )
            self._writable(entry.name, default)
            entry.details["default"] = default
        if model is not None:
            entry.details["schema"] = schema_of(model, entry.name)
        self._policy(entry, on_failure, None, None)
        self._order(entry, after)
        return Node(self, self._append(entry, None))

    @refuse_other_names("first")
    def first(self, *nodes: Reference | Iterable[Reference], cancel_rest: bool = True, name: str | None = None) -> Node:
        """A node with the value of the first of ``nodes`` that succeeds; it fails when none does.

        ``nodes`` may be one list. With ``cancel_rest`` the others are cancelled then, with the nodes before them that
        lead nowhere else. ``name`` is the node's. Raises CompositionError.
        """
        entry = NodeDefinition(self._named_or(name, "first"), "merge")
        given: Any = nodes[0] if len(nodes) == 1 and isinstance(nodes[0], list | tuple) else nodes
        if len(given) < 2:
            raise CompositionError(f"{entry.name}: expected at least two nodes; got {len(given)}")
        entry.when = "any_success"
        for node in given:
            self._slot(entry, node, "data")
        entry.details["cancel_rest"] = cancel_rest
        return Node(self, self._append(entry, None))

    @refuse_other_names("timeout")
    def timeout(self, node: Node, seconds: Any, *, otherwise: Any = _NOTHING, name: str | None = None) -> Node:
        """Limit the time of ``node`` to ``seconds`` (or a timedelta) from its start: then it fails with NodeTimeout,
        and its running tasks are cancelled.

        With ``otherwise`` the node that this gives has the node's value, or ``otherwise`` after such a failure: a
        value, or the result of a signature that runs then; ``name`` is that node's. Without it, this gives ``node``.
        Raises CompositionError.
        """
        self._own("timeout", node)
        entry = self.entry(node.number)
        if entry.kind not in _LIMITED or entry.limit is not None:
            has = "has a timeout already" if entry.limit is not None else f"is a node of kind {entry.kind}"
            raise CompositionError(
                f"{entry.name}: timeout: expected a task, map, loop or workflow without one; it {has}"
            )
        entry.limit = seconds_of(seconds, entry.name, "timeout")
        if otherwise is _NOTHING:
            return node
        result = NodeDefinition(self._free_name(name or f"{entry.name} in time"), "otherwise", when="all_done")
        self._slot(result, node, "data")
        if isinstance(otherwise, Signature):
            choose = NodeDefinition(f"{result.name}?", "choose", choices=[False], hidden=True, when="all_done")
            choose.details["timed_out"] = True
            self._slot(choose, node, "data")
            chosen = self._append(choose, None)
            instead = self.add(otherwise, name=self._free_name(f"{entry.name} otherwise"))
            self.entry(instead.number).sources.append(IncomingEdge(chosen, "condition", 1))
            self._slot(result, instead, "data")
        else:
            self._writable(result.name, otherwise)
            result.details["value"] = otherwise
        return Node(self, self._append(result, None))

    def finally_(self, sig: Signature[Any], *, name: str | None = None) -> Node:
        """A node that runs ``sig`` once at the end of each attempt, after success, failure and cancellation alike.

        It takes no results. Its own failure fails the run. ``name`` is the node's. Raises CompositionError.
        """
        entry = NodeDefinition(self._named(name, sig), "task", always=True, when="all_done")
        self._check_signature(entry.name, sig)

        def refuse(path: tuple[Any, ...], reference: Reference) -> None:
            raise CompositionError(
                f"{entry.name}: it runs whatever has happened, and cannot take the result of {reference.name!r}"
            )

        entry.sig = without_references(sig, refuse)
        self._check_plain(entry.name, entry.sig)
        self._check_arguments(entry.name, sig)
        return Node(self, self._append(entry, sig))

    @refuse_other_names("loop", "add")
    def loop(
        self,
        step: "Signature[Any] | ControlFlow",
        start: Any,
        *,
        at_most: int,
        until: Signature[Any] | None = None,
        after: After = (),
        name: str | None = None,
        on_failure: str = "fail",
        default: Any = None,
        inputs: Mapping[str, Any] | None = None,
    ) -> Node:
        """A node that runs ``step`` again and again: first with ``start`` (a value, or a node's result) before its
        other arguments, then each time with the value of the time before. It ends when ``until``, a task that gets the
        value of a round, returns something true, and has that value.

        After ``at_most`` rounds it fails with LoopExhausted; without ``until`` it ends then with the last value.
        ``step`` may be a workflow, whose input without a value gets the value of the round before; ``inputs`` are the
        values of its other inputs. ``after``, ``name``, ``on_failure`` and ``default`` are those of ``add``. Raises
        CompositionError.
        """
        entry = NodeDefinition(self._named(name, step), "loop")
        step = self._run_for_each(entry, step, inputs)
        if type(at_most) is not int or not 0 < at_most <= _MOST_ROUNDS:
            raise CompositionError(
                f"{entry.name}: at_most: expected how often it runs at most, from 1 to {_MOST_ROUNDS:,}; "
                f"got {at_most!r:.100}"
            )
        bound = isinstance(start, Reference)
        entry.details |= {"at_most": at_most, "bound": bound, "until": None}
        slot = self._slot(entry, start, "data") if bound else 0
        entry.sig = self._bound(entry, step)
        if bound:
            entry.binds.insert(0, InputBinding((), slot, start.pick))
        else:
            self._writable(entry.name, start)
            entry.details["start"] = start
        if until is not None:
            entry.details["until"] = self._condition(entry.name, until)
        self._check_arguments(entry.name, step, 1)
        self._policy(entry, on_failure, default, None)
        self._order(entry, after)
        return Node(self, self._append(entry, step))

    def _condition(self, name: str, until: Any) -> dict[str, Any]:
        self._check_signature(f"{name}: until", until)

        def refuse(path: tuple[Any, ...], reference: Reference) -> None:
            raise CompositionError(f"{name}: until takes no results but the value of its round; got {reference!r}")

        plain = without_references(until, refuse)
        self._check_plain(name, plain)
        self._check_arguments(f"{name}: until", until, 1)
        return plain

    def input(self, name: str, default: Any = _NOTHING) -> Node:
        """A node whose value is given from outside: by ``inputs`` of ``add``, where this workflow is a node, or of
        ``apply_async``. ``name`` is its key in ``inputs``; ``default`` counts if none is given. Raises
        CompositionError."""
        entry = NodeDefinition(self._named(name, None), "input")
        if default is not _NOTHING:
            self._writable(entry.name, default)
            entry.details["default"] = default
        return Node(self, self._append(entry, None))

    def call(self, sig: Signature[Any], **options: Any) -> Node:
        """A node for ``sig``, a task that returns a workflow: its value is that workflow's. Options as ``add``."""
        return self.add(sig, **options)

    @abstractmethod
    def add(self, sig: Signature[Any], **options: Any) -> Node:
        """A node for ``sig``."""
