"""Is a call fit to be sent? Each refusal names the task and what is wrong; nothing has been sent by then."""

import inspect
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from canvas.errors import CompositionError, InvalidTaskError
from canvas.primitives.misuse import advice
from canvas.primitives.signature import as_list

if TYPE_CHECKING:
    from canvas.task.task import Task


def check_call(task: str, args: Any, kwargs: Any) -> None:
    """Raise TypeError for arguments that are no list and no mapping."""
    if args is not None and not isinstance(args, list | tuple):
        raise TypeError(f"{task}: args must be a list or tuple; got {type(args).__name__} {args!r:.100}")
    if kwargs is not None and not isinstance(kwargs, Mapping):
        raise TypeError(f"{task}: kwargs must be a mapping; got {type(kwargs).__name__} {kwargs!r:.100}")


def check_options(task: str, options: Mapping[str, Any]) -> None:
    """Raise InvalidTaskError for an option of the wrong kind, CompositionError for a link that is no signature.

    Connections of Celery's that canvas has no use for are ignored, with a warning.
    """
    for name, value in options.items():
        check = _CHECKS.get(name)
        if check is not None and value is not None:
            check(task, name, value)


def check_limits(task: "Task[Any]", options: Mapping[str, Any]) -> None:
    """Raise ValueError, as Celery does, for a soft time limit above the hard one, of the call or of its task."""
    soft = options.get("soft_time_limit") or task.soft_time_limit
    if not soft:
        return
    hard = options.get("time_limit") or task.time_limit
    if hard and soft > hard:
        raise ValueError(
            f"{task.name}: soft_time_limit must be less than or equal to time_limit; got {soft:g} s and {hard:g} s"
        )


def _text(task: str, name: str, value: Any) -> None:
    if not isinstance(value, str):
        raise _unexpected(task, name, "text", value)


def _mapping(task: str, name: str, value: Any) -> None:
    if not isinstance(value, Mapping):
        raise _unexpected(task, name, "a mapping", value)


def _seconds(task: str, name: str, value: Any) -> None:
    if not isinstance(value, int | float):
        raise _unexpected(task, name, "seconds (int or float)", value)


def _priority(task: str, name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _unexpected(task, name, "a whole number from 0 to 9", value)


def _links(task: str, name: str, value: Any) -> None:
    for linked in as_list(value):
        if not isinstance(linked, dict):
            raise CompositionError(f"{task}: {name} takes signatures; got {linked!r:.100}{advice(linked)}")


def _meaningless(task: str, name: str, value: Any) -> None:
    warn_caller(f"{task}: option {name!r} has no meaning in canvas and is ignored")


def _unexpected(task: str, name: str, expected: str, value: Any) -> InvalidTaskError:
    return InvalidTaskError(f"{task}: {name}: expected {expected}; got {type(value).__name__} {value!r:.100}")


CONNECTIONS = ("producer", "publisher", "connection", "router", "result_cls")
"""Options that Celery sends by."""
_TEXT = ("task_id", "group_id", "root_id", "parent_id", "shadow", "serializer", "compression", "argsrepr", "kwargsrepr")
_CHECKS: dict[str, Callable[[str, str, Any], None]] = {
    **dict.fromkeys(CONNECTIONS, _meaningless),
    **dict.fromkeys(_TEXT, _text),
    **dict.fromkeys(("time_limit", "soft_time_limit", "countdown"), _seconds),
    **dict.fromkeys(("link", "link_error"), _links),
    "headers": _mapping,
    "priority": _priority,
}


def warn_caller(text: str, category: type[Warning] = UserWarning) -> None:
    """Warn of the first line outside this package that led here."""
    frame, levels = sys._getframe(0), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("canvas."):
        frame, levels = frame.f_back, levels + 1
    warnings.warn(text, category, stacklevel=levels)


def embedded(options: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Every signature in wire form that a message's options carry, however deep; each once."""
    pending = [sig for name in ("chain", "chord", "link", "link_error") for sig in as_list(options.get(name))]
    seen: set[int] = set()
    while pending:
        sig = pending.pop()
        if not isinstance(sig, Mapping) or id(sig) in seen:
            continue
        seen.add(id(sig))
        yield sig
        kwargs = sig.get("kwargs") or {}
        if sig.get("subtask_type"):
            pending += [*as_list(kwargs.get("tasks")), *as_list(kwargs.get("header")), *as_list(kwargs.get("body"))]
        pending += [s for name in ("chain", "chord", "link", "link_error") for s in as_list(sig["options"].get(name))]


def unwritable(task: str, value: Any, can_write: Callable[[Any], bool]) -> str | None:
    """Where in ``value`` (a message's args, kwargs and embed) lies what cannot be written: ``"add: args[0]['x']"``."""
    names = {0: "args", 1: "kwargs", 2: ""}
    for place, part in enumerate(value):
        if not can_write(part):
            return _descend(task, names[place], part, can_write)
    return None


def unwritable_result(value: Any, can_write: Callable[[Any], bool]) -> str | None:
    """Where in a task's result lies what cannot be written: ``"its result['x'][0]"``; ``None`` where nothing does."""
    return None if can_write(value) else _descend("", "result", value, can_write).replace(": result", "its result", 1)


def _descend(task: str, path: str, value: Any, can_write: Callable[[Any], bool]) -> str:
    if isinstance(value, Mapping):
        if isinstance(value.get("task"), str) and "subtask_type" in value:
            task, path = value["task"], ""
        items: Any = value.items()
    elif isinstance(value, list | tuple):
        items = enumerate(value)
    else:
        return f"{task}: {path}"
    for key, item in items:
        if not can_write(item):
            step = key if not path and isinstance(key, str) else f"{path}[{key!r}]"
            return _descend(task, step, item, can_write)
    return f"{task}: {path}"


_BY_POSITION = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def merged_arguments(
    parameters: Mapping[str, inspect.Parameter] | None,
    old: tuple[Iterable[Any], Mapping[str, Any]],
    args: Iterable[Any] | None,
    kwargs: Mapping[str, Any] | None,
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of the next call: the given ones, and those of the ``old`` call for all other parameters.

    ``args`` that take a parameter by position replace its old value given by name; ``kwargs`` that name a parameter
    replace its old value given by position. Without ``parameters``, or where the old arguments do not fit them, what is
    not given stays as it was.
    """
    old_args, old_kwargs = tuple(old[0] or ()), dict(old[1] or {})
    if args is not None and kwargs is None and old_kwargs:
        return tuple(args), _without(parameters or {}, old_kwargs, tuple(args))
    if kwargs is not None and args is None and old_args:
        return _renamed(parameters, old_args, dict(kwargs))
    return old_args if args is None else tuple(args), old_kwargs if kwargs is None else dict(kwargs)


def _without(parameters: Mapping[str, inspect.Parameter], kwargs: dict[str, Any], args: tuple[Any, ...]) -> Any:
    taken = [parameter for parameter in parameters.values() if parameter.kind in _BY_POSITION][: len(args)]
    names = {parameter.name for parameter in taken if parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD}
    return {name: value for name, value in kwargs.items() if name not in names}


def _renamed(
    parameters: Mapping[str, inspect.Parameter] | None, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if parameters is None:
        return args, kwargs
    try:
        bound = inspect.Signature(list(parameters.values())).bind_partial(*args)
    except TypeError:  # sending the call says what is wrong with it
        return args, kwargs
    for name in list(kwargs):
        if name in bound.arguments and parameters[name].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD:
            bound.arguments[name] = kwargs.pop(name)
    return bound.args, {**bound.kwargs, **kwargs}
