"""Start a run of a workflow."""

import asyncio
from datetime import datetime, timedelta
from typing import Any, Protocol

from canvas.errors import CompositionError, InvalidTaskError
from canvas.graph.run_nodes import run_nodes
from canvas.model.workflow_definition import NodeDefinition
from canvas.model.workflow_run import RunNode
from canvas.workflows.run import Run
from canvas.workflows.services import WorkflowServices
from canvas.workflows.store import run_metadata

TARGETS = ("canvas", "celery")


class Definition(Protocol):
    """A composed workflow."""

    name: str
    entries: list[NodeDefinition]

    @property
    def app(self) -> WorkflowServices: ...


def start(
    flow: Definition,
    *,
    expires: Any = None,
    timeout: float | None = None,
    target: str = "canvas",
    in_process: bool | None = None,
) -> Run:
    """Start a run of ``flow``, for canvas workers, or with ``target="celery"`` in a form that Celery workers run.

    Nodes that have not started when the run ``expires`` (seconds from now, or a time) never start. A run that has not
    ended after ``timeout`` seconds is cancelled, with its running tasks; so is each later attempt, and a retry. With
    ``in_process`` (default: ``task_always_eager``) the run is carried out in this process before this returns, and
    nothing is sent.
    Raises CompositionError, EncodeError, ConfigurationError without a result backend, OperationalError.
    """
    app = flow.app
    about, nodes = prepared(flow, app, expires, timeout, target)
    return Run.launch(app, about, nodes, app.conf.task_always_eager if in_process is None else in_process)


def prepared(
    flow: Definition, app: WorkflowServices, expires: Any, timeout: float | None, target: str
) -> tuple[dict[str, Any], list[RunNode]]:
    """The metadata and the nodes of a new run of ``flow``; the options are those of ``start``.

    Raises CompositionError, InvalidTaskError.
    """
    nodes = run_nodes(flow.entries)
    if target not in TARGETS:
        raise CompositionError(f"target: expected one of {', '.join(TARGETS)}; got {target!r:.100}")
    about = run_metadata(flow.name, nodes, app.now(), target)
    if expires is not None:
        about["expires"] = _expire(app, nodes, expires)
    if timeout is not None:
        if isinstance(timeout, bool) or not isinstance(timeout, int | float) or timeout <= 0:
            raise CompositionError(f"timeout: expected seconds above 0; got {timeout!r:.100}")
        about["timeout"] = timeout
    return about, nodes


async def astart(flow: Definition, **options: Any) -> Run:
    """``start``, without blocking the event loop."""
    return await asyncio.to_thread(lambda: start(flow, **options))


def _expire(app: WorkflowServices, nodes: list[RunNode], expires: Any) -> str:
    """Give nodes without an expiry of their own this one; the time as text."""
    if isinstance(expires, int | float) and not isinstance(expires, bool):
        expires = app.now() + timedelta(seconds=expires)
    if not isinstance(expires, datetime):
        raise InvalidTaskError(f"expires: expected seconds or a datetime; got {expires!r:.100}")
    when = expires.isoformat()
    for node in nodes:
        if node.sig is not None:
            node.sig = {**node.sig, "options": {"expires": when, **node.sig["options"]}}
    return when
