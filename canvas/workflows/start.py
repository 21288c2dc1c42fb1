"""Start a run of a workflow."""

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol

from canvas.errors import CompositionError, InvalidTaskError
from canvas.graph.run_nodes import run_nodes
from canvas.model.workflow_definition import NodeDefinition
from canvas.model.workflow_run import RunNode
from canvas.workflows.run import Run
from canvas.workflows.services import WorkflowServices
from canvas.workflows.steps.child_runs import input_value
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
    inputs: Mapping[str, Any] | None = None,
    in_process: bool | None = None,
    signals: Any = None,
) -> Run:
    """Start a run of ``flow``, for canvas workers, or with ``target="celery"`` in a form that Celery workers run.

    Nodes that have not started when the run ``expires`` (seconds from now, or a time) never start. A run that has not
    ended after ``timeout`` seconds is cancelled, with its running tasks; so is each later attempt, and a retry.
    ``inputs``: the values of the workflow's inputs. With
    ``in_process`` (default: ``task_always_eager``) the run is carried out in this process before this returns, and
    nothing is sent; ``signals`` are sent at its start.
    Raises CompositionError, EncodeError, ConfigurationError without a result backend, OperationalError.
    """
    app = flow.app
    about, nodes = prepared(flow, app, expires, timeout, target, inputs)
    here = app.conf.task_always_eager if in_process is None else in_process
    return Run.launch(app, about, nodes, here, signals)


def prepared(
    flow: Definition,
    app: WorkflowServices,
    expires: Any,
    timeout: float | None,
    target: str,
    inputs: Mapping[str, Any] | None = None,
) -> tuple[dict[str, Any], list[RunNode]]:
    """The metadata and the nodes of a new run of ``flow``; the options are those of ``start``.

    Raises CompositionError, InvalidTaskError.
    """
    nodes = run_nodes(flow.entries)
    if target not in TARGETS:
        raise CompositionError(f"target: expected one of {', '.join(TARGETS)}; got {target!r:.100}")
    _give_inputs(flow.name, nodes, inputs or {})
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


def _give_inputs(name: str, nodes: list[RunNode], inputs: Mapping[str, Any]) -> None:
    """Give the inputs of a workflow their values. Raises CompositionError for one that has none, or that is unknown."""
    known = {node.name: node for node in nodes if node.kind == "input"}
    for given in inputs:
        if given not in known:
            names = ", ".join(known) or "none"
            raise CompositionError(f"workflow {name!r} has no input {given!r}; it has {names}")
    for node in known.values():
        if node.name in inputs:
            node.details = {**node.details, "value": inputs[node.name]}
        input_value(node)


def _expire(app: WorkflowServices, nodes: list[RunNode], expires: Any) -> str:
    """Give nodes without an expiry of their own this one; the time as text."""
    if isinstance(expires, int | float) and not isinstance(expires, bool):
        expires = app.now() + timedelta(seconds=expires)
    if not isinstance(expires, datetime):
        raise InvalidTaskError(f"expires: expected seconds or a datetime; got {expires!r:.100}")
    when = expires.isoformat()
    for node in nodes:
        if node.kind == "flow":
            inside = [RunNode.from_list(one) for one in node.details["nodes"]]
            _expire(app, inside, expires)
            node.details = {**node.details, "nodes": [one.as_list() for one in inside]}
        if node.sig is not None and not node.always:
            node.sig = {**node.sig, "options": {"expires": when, **node.sig["options"]}}
    return when
