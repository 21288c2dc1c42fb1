"""The decorators that ``@app.task(...)`` and ``@shared_task(...)`` give, as type checkers see them."""

from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, Protocol, TypeAlias, TypeVar, overload

from canvas.task.arguments import P, R
from canvas.task.task import Task

TaskOf: TypeAlias = Task[P, R]
"""``Task``, in a class that has an attribute of that name."""
T = TypeVar("T", bound=Task[..., Any])
T_co = TypeVar("T_co", covariant=True)


class OfBase(Protocol[T_co]):
    """A decorator of functions that become tasks of a class of their program: ``@app.task(base=Mine)``."""

    def __call__(self, fun: Callable[..., Any], /) -> T_co: ...


class Decorator(Protocol):
    """A decorator of functions."""

    @overload
    def __call__(self, fun: Callable[P, Coroutine[Any, Any, R]], /) -> Task[P, R]: ...
    @overload
    def __call__(self, fun: Callable[P, R], /) -> Task[P, R]: ...


class BoundDecorator(Protocol):
    """A decorator of functions whose first argument is the task."""

    @overload
    def __call__(self, fun: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]], /) -> Task[P, R]: ...
    @overload
    def __call__(self, fun: Callable[Concatenate[Any, P], R], /) -> Task[P, R]: ...
