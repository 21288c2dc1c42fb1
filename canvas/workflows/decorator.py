"""``@workflow``: a function whose calls of tasks build a graph."""

import functools
from collections.abc import Callable
from typing import Any, overload

from canvas.model.current import composing
from canvas.workflows.compose import Workflow

Builder = Callable[..., Workflow]


@overload
def workflow(function: Callable[..., Any]) -> Builder: ...


@overload
def workflow(*, name: str | None = None, app: Any = None) -> Callable[[Callable[..., Any]], Builder]: ...


def workflow(function: Callable[..., Any] | None = None, *, name: str | None = None, app: Any = None) -> Any:
    """Make a function build a workflow: each task that it calls becomes a node, and gives the node's handle::

    @workflow
    def etl(url):
        rows = extract(url)
        report(clean(rows), totals=stats(rows=rows))

    run = etl("https://…").apply_async()
    """

    def decorate(function: Callable[..., Any]) -> Builder:
        @functools.wraps(function)
        def build(*args: Any, **kwargs: Any) -> Workflow:
            flow = Workflow(name or function.__name__, app)
            token = composing.set(flow)
            try:
                function(*args, **kwargs)
            finally:
                composing.reset(token)
            return flow

        return build

    return decorate if function is None else decorate(function)
