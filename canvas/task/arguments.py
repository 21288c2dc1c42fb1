"""The arguments of a task's call: their kinds, and those of the next call of a task that is retried or replaced."""

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

_BY_POSITION = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def check_call(task: str, args: Any, kwargs: Any) -> None:
    """Raise TypeError for arguments that are no list and no mapping."""
    if args is not None and not isinstance(args, list | tuple):
        raise TypeError(f"{task}: args must be a list or tuple; got {type(args).__name__} {args!r:.100}")
    if kwargs is not None and not isinstance(kwargs, Mapping):
        raise TypeError(f"{task}: kwargs must be a mapping; got {type(kwargs).__name__} {kwargs!r:.100}")


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
