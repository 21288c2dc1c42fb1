"""``@workflow``: a function whose calls of tasks build a graph."""

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, overload

from canvas.context import composing
from canvas.workflows.compose.builder import Workflow

if TYPE_CHECKING:
    from canvas.workflows.services import ComposingApp

Builder = Callable[..., Workflow]


@overload
def workflow(function: Callable[..., Any]) -> Builder: ...


@overload
def workflow(
    *, name: str | None = None, app: "ComposingApp | None" = None
) -> Callable[[Callable[..., Any]], Builder]: ...


def workflow(
    function: Callable[..., Any] | None = None, *, name: str | None = None, app: "ComposingApp | None" = None
) -> Any:
    """Make ``function`` build a workflow: each task that it calls becomes a node, and gives the node's handle::

    @workflow
    def etl(url):
        rows = extract(url)
        report(clean(rows), totals=stats(rows=rows))

    run = etl("https://…").apply_async()

    Called inside another such function, it adds its nodes to that one's workflow, and returns the function's value: a
    handle, if later calls are to take one. ``name`` is the workflow's, by default the function's; ``app`` runs it, by
    default the app of its tasks. Raises TypeError for a coroutine function and for a generator function.
    """

    def decorate(function: Callable[..., Any]) -> Builder:
        called: str = name or getattr(function, "__name__", "") or type(function).__name__
        for is_kind, kind in _NOT_PLAIN:
            if is_kind(function):
                raise _not_plain(called, kind)

        @functools.wraps(function)
        def build(*args: Any, **kwargs: Any) -> Any:
            if composing.get() is not None:
                return _checked(called, function(*args, **kwargs))
            flow = Workflow(called, app)
            token = composing.set(flow)
            try:
                _checked(called, function(*args, **kwargs))
            finally:
                composing.reset(token)
            return flow

        return build

    return decorate if function is None else decorate(function)


_NOT_PLAIN = (
    (inspect.iscoroutinefunction, "coroutine function"),
    (inspect.isasyncgenfunction, "generator function"),
    (inspect.isgeneratorfunction, "generator function"),
)


def _checked(name: str, value: Any) -> Any:
    """The value that a function returned. Raises TypeError for a coroutine or generator, whose body has not run."""
    if inspect.iscoroutine(value):
        value.close()
        raise _not_plain(name, "coroutine function")
    if inspect.isgenerator(value) or inspect.isasyncgen(value):
        raise _not_plain(name, "generator function")
    return value


def _not_plain(name: str, kind: str) -> TypeError:
    return TypeError(
        f"@workflow: {name} is a {kind}, whose calls of tasks would not be seen; write it as a plain function "
        "(tasks themselves may be coroutine functions)"
    )
