"""Other signatures for a running task's workflow: one in its place, or further members of its chord.

A replacement takes over the task's id, callbacks, chord and chain (semantics.md T30–T33).
"""

from collections.abc import Mapping
from typing import Any, Protocol

from canvas.errors import CompositionError, ConfigurationError, Replaced
from canvas.model.request import Request
from canvas.model.workflow_run import RUN_HEADER, RUN_OUTCOME, child_run_of
from canvas.primitives.chord import ends_in_group
from canvas.primitives.fields import as_list
from canvas.primitives.ports import SignatureApp, SignatureTask
from canvas.primitives.registry import maybe_signature
from canvas.primitives.signature import Signature


class SignedTask(SignatureTask, Protocol):
    """A task whose ``s`` makes signatures."""

    def s(self, *args: Any, **kwargs: Any) -> Signature[Any]: ...


class CollectingApp(SignatureApp, Protocol):
    """An app with the built-in task that collects a group's results."""

    @property
    def tasks(self) -> Mapping[str, SignedTask]: ...


def replacement(app: CollectingApp, request: Request, given: Signature[Any]) -> Signature[Any]:
    """A copy of ``given`` that continues ``request``'s workflow.

    A group, or a chain that ends in one, is collected into a list first, so that it has one result. Stamps of the
    replaced task are kept; those of ``given`` come first. A task that runs eagerly keeps its callbacks: it ends itself,
    with the value or exception of its replacement. Raises ConfigurationError for a signature that is part of a chord,
    and for an empty chain.
    """
    if "chord" in given.options:
        raise ConfigurationError(f"a signature that replaces a task must not be part of a chord itself; got {given!r}")
    if given.subtask_type == "chain" and not given.members():
        raise ConfigurationError("Cannot replace with an empty chain: expected at least one step")
    sig = collected(app, given.clone())
    _stamped(sig, request)
    if request.came_as_message or not request.is_eager:
        _give_callbacks(sig, request)
    sig.freeze(request.id)
    nesting = (request.replaced_task_nesting or 0) + 1
    place = {
        "chord": request.chord,
        "group_id": request.group,
        "group_index": request.group_index,
        "root_id": request.root_id,
        RUN_HEADER: request.canvas_run,
    }
    sig.set(replaced_task_nesting=nesting, **{key: value for key, value in place.items() if value is not None})
    if sig.subtask_type == "chain":
        for step in sig.members():
            step.set(replaced_task_nesting=nesting)
    for following in reversed(request.chain or ()):
        sig = sig | maybe_signature(following, app).clone().set(replaced_task_nesting=nesting)
    return sig


def _give_callbacks(sig: Signature[Any], request: Request) -> None:
    for callback in as_list(request.callbacks):
        sig.link(callback)
    for errback in as_list(request.errbacks):
        sig.link_error(errback)


class SigningApp(CollectingApp, Protocol):
    """An app that makes signatures."""

    def signature(self, *args: Any, **kwargs: Any) -> Signature[Any]: ...


class ReplacedTask(Protocol):
    """A running task that a workflow takes the place of."""

    @property
    def app(self) -> SigningApp: ...

    @property
    def request(self) -> Request: ...


def place_of_run(task: ReplacedTask, workflow: Any) -> Any:
    """Give a task's place to a run of ``workflow``."""
    request = task.request
    outcome = task.app.signature(RUN_OUTCOME, (child_run_of(str(request.id)),), immutable=True)
    raise Replaced(replacement(task.app, request, outcome), workflow)


class MemberTask(Protocol):
    """A running task that may be a member of a chord's header."""

    name: str

    @property
    def request(self) -> Request: ...

    @property
    def backend(self) -> Any: ...

    def add_trail(self, result: Any) -> Any: ...


def add_to_chord(task: MemberTask, sig: Signature[Any], lazy: bool) -> Any:
    """``Task.add_to_chord``."""
    request = task.request
    if not request.chord:
        raise ValueError(f"{task.name}[{request.id}] is not a member of a chord; only its members can add to it")
    sig.set(group_id=request.group, group_index=request.group_index, chord=request.chord, root_id=request.root_id)
    result = sig.freeze()
    if result is None:
        raise CompositionError(f"{task.name}[{request.id}]: an empty chain has no result to add to a chord")
    if lazy:
        task.backend.add_to_chord(request.group, result)
        return sig
    request.additions.append(sig)
    return task.add_trail(result)


def collected(app: CollectingApp, sig: Signature[Any]) -> Signature[Any]:
    """``sig`` with one result: if it ends in a group, the group's results are collected into a list."""
    if not ends_in_group(sig):
        return sig
    whole: Signature[Any] = sig | app.tasks["celery.accumulate"].s(index=0)
    return whole


def _stamped(sig: Signature[Any], request: Request) -> None:
    names, stamps = request.stamped_headers, request.stamps or {}
    inherited = {name: stamps[name] for name in names or () if name in stamps}
    if inherited:
        for task in tasks_of(sig):
            own = task.options.get("stamped_headers") or []
            task.set(
                **{**inherited, **task.options, "stamped_headers": [*own, *(n for n in inherited if n not in own)]}
            )


def tasks_of(sig: Signature[Any]) -> list[Signature[Any]]:
    """The plain tasks that a signature is composed of."""
    if sig.subtask_type in ("chain", "group", "chord"):
        return [task for member in sig.members() for task in tasks_of(member)]
    return [sig]
