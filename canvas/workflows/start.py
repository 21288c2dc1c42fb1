"""Start a run of a workflow."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from canvas.errors import CompositionError, InvalidTaskError
from canvas.graph.run_nodes import limit_nodes, run_nodes
from canvas.model.workflow_definition import NodeDefinition
from canvas.model.workflow_run import RunNode
from canvas.workflows.labels import stored_labels
from canvas.workflows.run import Run
from canvas.workflows.run_keys import MISMATCHES, checked_key, digest_of_nodes
from canvas.workflows.run_records import run_metadata
from canvas.workflows.services import WorkflowServices
from canvas.workflows.steps.child_runs import input_value

TARGETS = ("canvas", "celery")


class Definition(Protocol):
    """A composed workflow."""

    name: str
    entries: list[NodeDefinition]

    @property
    def app(self) -> WorkflowServices: ...


@dataclass(frozen=True, slots=True)
class StartOptions:
    """The options of a run."""

    expires: Any = None
    """Seconds from now, or a time: nodes that have not started then never start."""
    timeout: float | None = None
    """Seconds after which an attempt that has not ended is cancelled, with its running tasks."""
    target: str = "canvas"
    """``celery``: in a form that Celery workers run."""
    inputs: Mapping[str, Any] = field(default_factory=dict)
    """The values of the workflow's inputs."""
    labels: Mapping[str, Any] = field(default_factory=dict)
    """Text, numbers, booleans, dates and datetimes, by which ``app.runs`` finds the run."""
    concurrency: int | None = None
    """How many tasks of the run, and of the workflows inside of it, may run at once on all workers."""
    run_key: str | None = None
    """Starts of the same workflow name and key give the same run, as long as it is kept."""
    run_key_mismatch: str = "warn"
    """If that run has another graph or other arguments: ``warn``, or ``error`` to raise RunKeyMismatch."""


def start(flow: Definition, *, in_process: bool | None = None, signals: Any = None, **options: Any) -> Run:
    """Start a run of ``flow``, or find the run that was started with the same ``run_key``; ``options`` are the fields
    of ``StartOptions``.

    With ``in_process`` (default: ``task_always_eager``) the run is carried out in this process before this returns, and
    nothing is sent; ``signals`` are sent at its start.
    Raises CompositionError, EncodeError, ConfigurationError without a result backend, OperationalError.
    """
    app, given = flow.app, StartOptions(**options)
    about, nodes = prepared(flow, app, given)
    eager = app.conf.task_always_eager if in_process is None else in_process
    return Run.launch(app, about, nodes, eager, given.run_key_mismatch, signals)


def prepared(flow: Definition, app: WorkflowServices, options: StartOptions) -> tuple[dict[str, Any], list[RunNode]]:
    """The metadata and the nodes of a new run of ``flow``. Raises CompositionError, InvalidTaskError."""
    nodes = run_nodes(flow.entries)
    target, timeout = options.target, options.timeout
    if target not in TARGETS:
        raise CompositionError(f"target: expected one of {', '.join(TARGETS)}; got {target!r:.100}")
    _give_inputs(flow.name, nodes, options.inputs or {})
    about = run_metadata(flow.name, nodes, app.now(), target)
    if options.labels:
        about["labels"] = stored_labels(options.labels)
    if options.run_key is not None:
        about["run_key"] = checked_key(options.run_key, target)
        about["digest"] = digest_of_nodes(nodes, app.conf.task_serializer)
    if options.run_key_mismatch not in MISMATCHES:
        raise CompositionError(
            f"run_key_mismatch: expected one of {', '.join(MISMATCHES)}; got {options.run_key_mismatch!r:.100}"
        )
    if options.concurrency is not None:
        limit_nodes(nodes, _checked_concurrency(app, options.concurrency, target))
    if options.expires is not None:
        about["expires"] = _expire(app, nodes, options.expires)
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


def _checked_concurrency(app: WorkflowServices, at_once: Any, target: str) -> int:
    """Raises CompositionError for an invalid limit, or one that the workers of the run do not keep, and
    ConfigurationError where the broker keeps no state of messages."""
    from canvas.drivers.ports.capabilities import require  # imported late: few runs have a limit

    if isinstance(at_once, bool) or not isinstance(at_once, int) or at_once < 1:
        raise CompositionError(f"concurrency: expected a whole number, 1 or more; got {at_once!r:.100}")
    if target == "celery":
        raise CompositionError(
            "concurrency: Celery workers (target='celery') do not limit how many tasks of a run are running; run the "
            "workflow on canvas workers, or give the queue a worker with this --concurrency"
        )
    require(app.driver.capabilities, "coordination", "the concurrency of a run")
    return at_once


def _expire(app: WorkflowServices, nodes: list[RunNode], expires: Any) -> str:
    """Give nodes without an expiry of their own this one. Returns the time as text."""
    if isinstance(expires, int | float) and not isinstance(expires, bool):
        expires = app.now() + timedelta(seconds=expires)
    if not isinstance(expires, datetime):
        raise InvalidTaskError(f"expires: expected seconds or a datetime; got {expires!r:.100}")
    when = expires.isoformat()
    for node in nodes:
        if "nodes" in node.details:
            inside = [RunNode.from_list(one) for one in node.details["nodes"]]
            _expire(app, inside, expires)
            node.details = {**node.details, "nodes": [one.as_list() for one in inside]}
        if node.sig is not None and not node.always:
            node.sig = {**node.sig, "options": {"expires": when, **node.sig["options"]}}
    return when
