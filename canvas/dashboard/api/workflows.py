"""Runs of workflows: lists of them, one run, its picture and its nodes."""

import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from canvas.dashboard.answers import ApiError, json_answer, moment_of, number_of
from canvas.dashboard.api.run_actions import possible, stopped_by
from canvas.dashboard.collecting.families import summary as family_summary
from canvas.dashboard.context import Context, context_of
from canvas.errors import RunLost
from canvas.graph.pictures.collapsed import run_picture
from canvas.model import states
from canvas.model.workflow_run import SKIPPED, NodeRef, RunNode
from canvas.workflows.run import Run
from canvas.workflows.status import UPSTREAM_FAILED, WAITING, NodeStatus, RunStatus

_MOST = 500
"""Runs that one call reads at most."""
_NEVER_BEGAN = frozenset({UPSTREAM_FAILED, WAITING, SKIPPED, states.PENDING})


def list_runs(request: Request) -> Response:
    """Runs, the latest first."""
    context, query = context_of(request), request.query_params
    if context.app.driver.runs is None:
        return json_answer({"runs": [], "kept": False})
    limit = number_of(query.get("limit"), "limit", 50, _MOST)
    text = query.get("text", "").casefold()
    wanted: dict[str, Any] = {
        "name": query.get("name") or None,
        "state": [one.upper() for one in query.getlist("state") if one] or None,
        "since": _moment(context, query.get("since"), "since"),
        "until": _moment(context, query.get("until"), "until"),
    }
    found = []
    for run in context.app.runs(limit=_MOST if text else max(limit, 1), **wanted):
        if text and not _has(run, text):
            continue
        try:
            found.append(summary(run, run.status()))
        except RunLost:
            continue
        if len(found) == limit:
            break
    return json_answer({"runs": found, "kept": True})


def _moment(context: Context, given: str | None, name: str) -> datetime | None:
    at = moment_of(given, name)
    return None if at is None else datetime.fromtimestamp(at, context.app.timezone)


def _has(run: Run, text: str) -> bool:
    labels = " ".join(f"{label}={value}" for label, value in run.labels.items())
    return text in f"{run.name} {run.id} {run.key or ''} {labels}".casefold()


def summary(run: Run, status: RunStatus) -> dict[str, Any]:
    """A run in a list."""
    return {
        "id": run.id,
        "name": status.name,
        "state": status.state,
        "created": _unix(status.created),
        "ended": _unix(status.ended),
        "seconds": _seconds(status),
        "nodes": len(status.nodes),
        "done": status.done - status.counts.get(UPSTREAM_FAILED, 0),
        "counts": status.counts,
        "labels": {label: str(value) for label, value in status.labels.items()},
        "key": run.key,
        "attempt": run.attempt,
        "target": run.about["target"],
    }


def _unix(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()


def _seconds(status: RunStatus) -> float | None:
    if status.created is None:
        return None
    end = status.ended.timestamp() if status.ended is not None else time.time() if not status.over else None
    return None if end is None else max(0.0, end - status.created.timestamp())


def composites(request: Request) -> Response:
    """Chains, groups and chords of either library, from events and records, the latest first."""
    context, query = context_of(request), request.query_params
    limit = number_of(query.get("limit"), "limit", 50, _MOST)
    text, wanted = query.get("text", "").casefold(), query.get("state", "").upper()
    collector = context.collector
    found = []
    for family in collector.families.all():
        about = family_summary(family, collector.cluster.groups)
        named = " ".join(f"{task.uuid} {task.name}" for task in family.tasks).casefold()
        if (not wanted or about["state"] == wanted) and text in named:
            found.append(about)
        if len(found) == limit:
            break
    return json_answer({"composites": found})


def one_run(request: Request) -> Response:
    """A run with the states of its nodes."""
    context, run_id = context_of(request), request.path_params["run"]
    watch = context.watch(run_id)
    known = context.collector.cluster.of_run(run_id)
    running = {str(task.uuid): task.started for task in known if task.state == states.STARTED}
    found = watch.look(running)
    about = {**summary(watch.run, found.status), "critical_path": found.status.critical_path}
    about["can"] = possible(context, found.status)
    about["stopped_by"] = stopped_by(context, watch.run, found.status)
    about["signals"] = sorted({node.signal for node in found.status.nodes if node.signal is not None})
    nodes = []
    tasks = {node.name: str(node.sig["task"]) for node in watch.run.nodes if node.sig is not None}
    ready = _ready_times(watch.run.nodes, found.status)
    for node in found.status.nodes:
        fields = _node(context, node, tasks.get(node.name), ready.get(node.name))
        if node.name in found.maps:
            counts = found.maps[node.name]
            fields["items"] = {name: getattr(counts, name) for name in ("size", "done", "failed", "running")}
        if node.name in found.causes:
            fields["cause"] = found.causes[node.name]
            fields["error"] = None
        nodes.append(fields)
    return json_answer({"run": about, "nodes": nodes})


def _ready_times(nodes: Sequence[RunNode], status: RunStatus) -> dict[str, float | None]:
    """When the nodes that have no task of their own began: when the last node that each waits for ended."""
    ends = {node.name: _unix(node.ended) for node in status.nodes}
    ready: list[float | None] = [_unix(status.created)] * len(nodes)
    for number, node in enumerate(nodes):
        end = ready[number] if node.hidden else ends[node.name]
        for out in node.outs:
            known = ready[out.node]
            ready[out.node] = None if known is None or end is None else max(known, end)
    return {
        node.name: at for node, at in zip(nodes, ready, strict=True) if not node.hidden and node.kind != "task"
    }  # fmt: skip


def _node(context: Context, node: NodeStatus, task_name: str | None, ready: float | None) -> dict[str, Any]:
    known = context.collector.cluster.task(node.task_id)
    started = _unix(node.started) or (known.started if known is not None else None)
    if started is None and node.state not in _NEVER_BEGAN:
        started = ready
    ended = _unix(node.ended)
    seconds = node.seconds
    if seconds is None and ended is not None and isinstance(started, float):
        seconds = max(0.0, ended - started)
    return {
        "name": node.name, "state": node.state, "task_id": node.task_id, "task": task_name,
        "started": started, "ended": ended, "seconds": seconds, "error": context.result(node.error),
        "until": _unix(node.until), "signal": node.signal, "rounds": node.rounds, "child": node.child,
        "missing": node.task,
        "worker": known.worker.hostname if known is not None and known.worker is not None else None,
        "retries": known.retries if known is not None else None,
    }  # fmt: skip


def picture(request: Request) -> Response:
    """Where the boxes of a run's graph stand. This never changes: a run keeps its nodes."""
    run = context_of(request).watch(request.path_params["run"]).run
    found = run_picture(run.nodes, set(request.query_params.getlist("expand")))
    boxes = []
    for placed in found.arrangement.boxes:
        own = placed.number < len(found.members)
        members = found.members[placed.number] if own else []
        boxes.append(
            {
                "x": placed.left, "y": placed.top, "width": placed.width, "height": placed.height,
                "label": placed.box.label, "kind": placed.box.kind, "key": found.keys[placed.number] if own else "",
                "nodes": [run.nodes[number].name for number in members if not run.nodes[number].hidden],
            }
        )  # fmt: skip
    lines = [
        {"path": line.path, "order": line.order, "arrow": line.arrow, "arm": line.arm, "end": line.end}
        for line in found.arrangement.lines
    ]
    size = {"width": found.arrangement.width, "height": found.arrangement.height}
    return json_answer({**size, "boxes": boxes, "lines": lines})


def node(request: Request) -> Response:
    """Everything that is known of a node: arguments, result, traceback, attempts, times."""
    context, name = context_of(request), request.path_params["node"]
    run = context.watch(request.path_params["run"]).run
    numbers = {one.name: number for number, one in enumerate(run.nodes) if not one.hidden}
    if name not in numbers:
        raise ApiError(404, f"run {run.id} has no node {name!r}")
    defined = run.nodes[numbers[name]]
    whole = run.status()
    status = next(one for one in whole.nodes if one.name == name)
    (record,) = context.app.backend.get_records([status.task_id])
    known = context.collector.cluster.task(status.task_id)
    task_name = str(defined.sig["task"]) if defined.sig is not None else None
    fields = _node(context, status, task_name, _ready_times(run.nodes, whole).get(name))
    composed = [] if defined.sig is None else [defined.sig.get("args"), defined.sig.get("kwargs")]
    return json_answer(
        {
            **fields,
            "kind": defined.kind,
            "attempt": run.about["attempts"][numbers[name]],
            "args": context.arguments(known.args if known is not None else None),
            "kwargs": context.arguments(known.kwargs if known is not None else None),
            "composed": context.arguments(repr(composed)[:5_000]) if any(composed) else None,
            "result": context.shown_result(record.result) if record is not None and status.ended else None,
            "traceback": context.result(record.traceback) if record is not None else None,
            "queue": getattr(known, "queue", None) or (known.routing_key if known is not None else None),
            "sent": (known.sent if known is not None else None),
            "received": (known.received if known is not None else None),
            "inputs": [run.nodes[number].name for number in _parents(run, numbers[name])],
            "items": _items(context, run, numbers[name]) if defined.kind == "map" else [],
        }
    )


def _parents(run: Run, number: int) -> list[int]:
    return [at for at, one in enumerate(run.nodes) if not one.hidden and any(out.node == number for out in one.outs)]


def _items(context: Context, run: Run, number: int) -> list[dict[str, Any]]:
    """Up to 20 items of a map that have failed."""
    place = NodeRef(run.id, run.about["attempts"][number], number)
    failed = []
    for item, task_id, record in context.watch(run.id).failed_items(place, 20):
        error = context.shown_result(record.result)
        failed.append({"item": item, "task_id": task_id, "state": record.status, "error": error})
    return failed
