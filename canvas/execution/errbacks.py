"""Error callbacks in workers and in eager runs: which of them a failure calls, and how (semantics.md E3–E8)."""

import inspect
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from types import CoroutineType
from typing import Any, Protocol, TypeVar

from canvas.error_traits import without_pages
from canvas.errors import ChordError
from canvas.execution.executor import run_coroutine
from canvas.model.request import Request
from canvas.primitives.fields import as_list
from canvas.primitives.links import Distinct, has_signature
from canvas.primitives.registry import maybe_signature
from canvas.primitives.signature import Signature
from canvas.task.task import Task
from canvas.telemetry import emit
from canvas.text import safe_repr

T = TypeVar("T")


class ErrbackApp(Protocol):
    """The parts of an app that error callbacks need."""

    @property
    def tasks(self) -> Mapping[str, Task[Any]]: ...


def is_new_style(app: ErrbackApp, sig: Signature[Any]) -> bool:
    """New style: a task registered here, made of a function and not bound, that takes more than one positional
    argument in addition to those that the signature stores."""
    task = app.tasks.get(sig.task)
    if task is None or task.takes_itself or sig.subtask_type is not None or not hasattr(task, "__wrapped__"):
        return False
    try:
        if sig.immutable:
            return _takes_several(task, task.run)
        return _takes_several(task, partial(task.run, *sig.args, **sig.kwargs))
    except (TypeError, ValueError):
        pass  # the stored arguments do not fit: the call raises
    try:
        return _takes_several(task, task.run)
    except (TypeError, ValueError):
        return False


def _takes_several(task: Any, function: Callable[..., Any]) -> bool:
    """Whether it takes more than one positional argument. Raises TypeError or ValueError if Python cannot tell."""
    parameters = inspect.signature(function, follow_wrapped=task.pydantic_models is not None).parameters.values()
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return True
    return sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters) > 1


def call_errback(app: ErrbackApp, sig: Signature[Any], request: Request, exc: BaseException, text: Any) -> None:
    """Call a new-style errback. An exception of it is reported, and does not change how the failed task ends."""
    task = app.tasks[sig.task]
    args = sig.args if sig.immutable else (request, exc, text, *sig.args)
    try:
        value = task(*args, **sig.kwargs)
        if isinstance(value, CoroutineType):
            run_coroutine(value)
    except KeyboardInterrupt:
        raise
    except BaseException as failure:  # noqa: BLE001 - an errback's own failure must not undo the task's end
        emit("errback.failed", task=task.name, task_id=request.id, exc=failure)


def dependency_error(task_id: str, result: Any, nested: bool) -> ChordError:
    """The error of a chord's body when a header task failed.

    The text is Celery's, which differs for a header whose members end in groups (semantics.md K14, E13).
    """
    if nested:
        return ChordError(f"Join error: {safe_repr(result)}")
    error = ChordError(f"Dependency {task_id} raised {safe_repr(result)}")
    error.__cause__ = result if isinstance(result, BaseException) else None
    return error


def dependency_traceback(shown: BaseException, result: Any, original: str | None) -> str | None:
    """The traceback of tasks that end with the exception ``shown``, since a header task failed: that task's own, as the
    cause of the exception.

    ``result``: the header task's exception; ``original``: its traceback, where one is stored.
    """
    if not original and isinstance(result, BaseException):
        original = _ending(result)
    if not original or shown is result:
        return original
    return f"{original}\nThe above exception was the direct cause of the following exception:\n\n{_ending(shown)}"


def _ending(exc: BaseException) -> str:
    return without_pages("".join(traceback.format_exception_only(exc)))


def chord_join_order(members: Sequence[T], inside: Callable[[T], Sequence[T] | None]) -> Iterator[T]:
    """A nested header's tasks in the order of Celery's join, which decides which failure is the first: members of
    groups before other tasks. ``inside`` gives a group's members, ``None`` for a task."""
    for children in filter(None, map(inside, members)):
        for child in children:
            deeper = inside(child)
            if deeper is None:
                yield child
            else:
                yield from chord_join_order(deeper, inside)
    for member in members:
        if inside(member) is None:
            yield member


def body_exception(body: Signature[Any], error: ChordError) -> BaseException:
    """The exception of the body's tasks: the members of a group get the header's own exception (semantics.md E8)."""
    return (error.__cause__ or error) if body.subtask_type == "group" else error


def body_errbacks(body: Signature[Any]) -> list[Request]:
    """A request for each id that the failed body stands for, with the errbacks to call for it."""
    return [
        Request(id=task_id, task=body.task, args=body.args, kwargs=body.kwargs, errbacks=errbacks)
        for task_id, errbacks in _errbacks_by_id(body)
    ]


def errbacks_to_come(body: Signature[Any]) -> list[Any]:
    """The errbacks that the chords around a failed body will call, since its failure is theirs."""
    found: list[Any] = []
    outer = _waits_for(body, as_list(body.options.get("chain")))
    while outer is not None:
        around: Signature[Any] = maybe_signature(outer)
        found += [maybe_signature(errback) for _, errbacks in _errbacks_by_id(around) for errback in errbacks]
        outer = _waits_for(around, as_list(around.options.get("chain")))
    return found


def _waits_for(sig: Signature[Any], rest: list[Any]) -> Any:
    """The body of the chord that ``sig``, or the ``rest`` of its chain (the last step first), returns its part to;
    ``None`` outside chords."""
    if rest:
        return _waits_for(maybe_signature(rest[0]), [])
    if sig.options.get("chord"):
        return sig.options["chord"]
    members = sig.members() if sig.subtask_type in ("chain", "group", "chord") else []
    return _waits_for(members[-1], []) if members else None


def _errbacks_by_id(body: Signature[Any]) -> list[tuple[str, list[Any]]]:
    own = as_list(body.options.get("link_error"))
    if body.subtask_type == "group":
        found = [pair for member in body.members() for pair in _errbacks_by_id(member)]
        return [(task_id, list(Distinct([*its, *own]))) for task_id, its in found]
    if body.subtask_type == "chord":
        return [(task_id, list(Distinct([*own, *its]))) for task_id, its in _errbacks_by_id(body.kwargs["body"])]
    if body.subtask_type == "chain" and len(body.members()) == 1:
        # A chord that is a body is sent as such a chain: errbacks of the chain alone apply to all of the chord's body.
        found = _errbacks_by_id(body.members()[0])
        more = [errback for errback in own if not any(has_signature(its, errback) for _, its in found)]
        return [(task_id, [*more, *its]) for task_id, its in found]
    return [(str(body.options.get("task_id")), own)]
