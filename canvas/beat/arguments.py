"""Arguments of entries that are computed when the task is sent."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any


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


def evaluated_call(args: Iterable[Any], kwargs: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """All arguments of a call as the task gets them."""
    return tuple(map(evaluated, args)), {name: evaluated(value) for name, value in kwargs.items()}
