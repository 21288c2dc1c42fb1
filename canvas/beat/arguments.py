"""Arguments of entries: whether they fit, and those that are computed when the task is sent."""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from canvas.beat.entries import Entry
from canvas.primitives.signature import Signature
from canvas.producer.planner import SenderApp
from canvas.workflows.compose.called_tasks import calls_of


class BeatLazyFunc:
    """An argument of an entry in ``beat_schedule`` that is the result of ``func(*args, **kwargs)`` at each tick."""

    def __init__(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        self._func, self._args, self._kwargs = func, args, kwargs

    def __call__(self) -> Any:
        """The result of a call now."""
        return self._func(*self._args, **self._kwargs)

    delay = __call__


def evaluated(value: Any) -> Any:
    """An argument as the task gets it."""
    return value() if isinstance(value, BeatLazyFunc) else value


def evaluated_args(args: Iterable[Any] | None) -> list[Any]:
    """The positional arguments of an entry as the task gets them."""
    return [evaluated(value) for value in args or ()]


def evaluated_kwargs(kwargs: Mapping[str, Any] | None) -> dict[str, Any]:
    """The keyword arguments of an entry as the task gets them."""
    return {name: evaluated(value) for name, value in (kwargs or {}).items()}


def evaluated_call(args: Iterable[Any], kwargs: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """All arguments of a call as the task gets them."""
    return tuple(evaluated_args(args)), evaluated_kwargs(kwargs)


def unfit_arguments(app: SenderApp, entry: Entry) -> str | None:
    """The reason why an entry's arguments do not fit; ``None`` if they do, or if its task is not registered here."""
    if entry.is_workflow:
        return _unfit_of_workflow(entry)
    for name, args, kwargs in _calls(entry):
        task = app.tasks.get(name)
        if task is not None:
            try:
                task.check_typing(args, kwargs)
            except TypeError as exc:
                return str(exc)
    return None


def _calls(entry: Entry) -> Iterator[tuple[str, tuple[Any, ...], Mapping[str, Any]]]:
    """The tasks that an entry calls, each with its arguments; ``None`` stands for the result of a task before it."""
    sig = entry.task
    if not isinstance(sig, Signature):
        yield str(sig), entry.args, entry.kwargs
    elif sig.subtask_type is not None:
        for one, taken in calls_of(sig, len(entry.args)) if not entry.kwargs else ():
            yield one["task"], (*[None] * taken, *one["args"]), one["kwargs"]
    elif sig.immutable:
        yield sig.task, tuple(sig.args), sig.kwargs
    else:
        yield sig.task, (*entry.args, *sig.args), {**sig.kwargs, **entry.kwargs}


def _unfit_of_workflow(entry: Entry) -> str | None:
    function: Any = entry.task
    if callable(getattr(function, "apply_async", None)):
        given = bool(entry.args or entry.kwargs)
        return "a workflow takes no args and kwargs; give its inputs with options={'inputs': …}" if given else None
    try:
        parameters = inspect.signature(function)
    except (TypeError, ValueError):
        return None  # a callable that shows no parameters
    try:
        parameters.bind(*entry.args, **entry.kwargs)
    except TypeError as exc:
        return f"{entry.what}(): {exc}"
    return None
