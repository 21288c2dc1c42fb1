"""Tasks as events and records describe them, and actions on them."""

import ast
from collections.abc import Iterable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from canvas.dashboard.answers import ApiError, acting, json_answer, moment_of, number_of
from canvas.dashboard.context import Context, context_of
from canvas.model import states
from canvas.model.record import Record
from canvas.remote.cluster_entries import Task

_MOST = 1_000
_RELATED = 500
"""Tasks of one tree that are shown."""


def row(context: Context, task: Task) -> dict[str, Any]:
    """A task in a list."""
    return {
        "id": task.uuid,
        "name": task.name,
        "state": task.state,
        "worker": task.worker.hostname if task.worker is not None else None,
        "queue": queue_of(task),
        "received": task.received,
        "started": task.started,
        "timestamp": task.timestamp,
        "runtime": task.runtime,
        "retries": task.retries,
        "args": context.arguments(task.args),
        "kwargs": context.arguments(task.kwargs),
        "result": context.result(task.result),
        "exception": context.result(task.exception),
        "root_id": task.root_id,
        "parent_id": task.parent_id,
    }


def queue_of(task: Task) -> str | None:
    """The queue that a task was sent to, as far as an event names it."""
    found: str | None = getattr(task, "queue", None) or task.routing_key
    return found


def list_tasks(request: Request) -> Response:
    """Tasks, those with the latest events first; older ones from the store, if there is one."""
    context, query = context_of(request), request.query_params
    limit = number_of(query.get("limit"), "limit", 100, _MOST)
    wanted: dict[str, Any] = {
        "name": query.get("name") or None, "states": [one.upper() for one in query.getlist("state") if one],
        "worker": query.get("worker") or None, "queue": query.get("queue") or None,
        "text": (query.get("text") or "").casefold(), "since": moment_of(query.get("since"), "since"),
        "until": moment_of(query.get("until"), "until"),
    }  # fmt: skip
    known = [task for task in context.collector.cluster.tasks_now() if _fits(task, **wanted)]
    known.sort(key=lambda task: task.timestamp or 0.0, reverse=True)
    rows = [row(context, task) for task in known[:limit]]
    if context.history is not None and len(rows) < limit:
        seen = {one["id"] for one in rows}
        for kept in context.history.tasks(limit=limit + len(rows), **wanted):
            if kept["id"] not in seen and len(rows) < limit:
                rows.append({**kept, **_masked(context, kept)})
    return json_answer({"tasks": rows, "total": len(known), "revision": context.collector.cluster.revision})


def _masked(context: Context, kept: dict[str, Any]) -> dict[str, Any]:
    arguments = {name: context.arguments(kept.get(name)) for name in ("args", "kwargs")}
    return {**arguments, **{name: context.result(kept.get(name)) for name in ("result", "exception")}}


def _fits(
    task: Task, name: str | None, states: list[str], worker: str | None, queue: str | None, text: str,
    since: float | None, until: float | None,
) -> bool:  # fmt: skip
    at = task.timestamp or 0.0
    return (
        (name is None or task.name == name)
        and (not states or task.state in states)
        and (worker is None or (task.worker is not None and task.worker.hostname == worker))
        and (queue is None or queue_of(task) == queue)
        and (since is None or at >= since)
        and (until is None or at < until)
        and (not text or text in _text_of(task))
    )


def _text_of(task: Task) -> str:
    found = [task.uuid, *(getattr(task, name, None) for name in ("name", "args", "kwargs", "result", "exception"))]
    return " ".join(str(one) for one in found if one is not None).casefold()


def names(request: Request) -> Response:
    """The names of tasks: those that events have named, and those of the app."""
    context = context_of(request)
    known = set(context.collector.cluster.task_types()) | set(context.app.tasks)
    return json_answer({"names": sorted(name for name in known if not name.startswith("celery."))})


def one_task(request: Request) -> Response:
    """Everything that is known of a task, with its parents and children as a tree."""
    context, task_id = context_of(request), request.path_params["task"]
    task = context.collector.cluster.task(task_id)
    record = _record(context, task_id)
    kept = context.history.task(task_id) if context.history is not None and task is None else None
    if task is None and record is None and kept is None:
        raise ApiError(404, f"task {task_id!r} is not known: no event named it lately, and no result is stored")
    found: dict[str, Any] = {"id": task_id}
    if kept is not None:
        found |= {**kept, **_masked(context, kept)}
    if task is not None:
        found |= row(context, task)
        for name in ("sent", "succeeded", "failed", "retried", "revoked", "rejected", "eta", "expires", "client"):
            found[name] = getattr(task, name, None)
        found["traceback"] = context.result(task.traceback)
    if record is not None:
        found["record"] = _shown_record(context, record)
    found["tree"] = tree(context, task) if task is not None else []
    found["can"] = _possible(context, task, record)
    return json_answer(found)


def _record(context: Context, task_id: str) -> Record | None:
    if context.app.driver.results is None:
        return None
    return context.app.backend.get_records([task_id])[0]


def _shown_record(context: Context, record: Record) -> dict[str, Any]:
    return {
        "status": record.status,
        "result": context.shown_result(record.result),
        "traceback": context.result(record.traceback),
        "date_done": record.date_done,
        "group_id": record.group_id,
        "parent_id": record.parent_id,
        **{name: record.extra.get(name) for name in ("name", "worker", "queue", "retries")},
    }


def tree(context: Context, task: Task) -> list[dict[str, Any]]:
    """The tasks of the same root or group, parents before children, each with its depth."""
    related = context.collector.families.of(task)[:_RELATED]
    by_id = {one.uuid: one for one in related}
    children: dict[str | None, list[Task]] = {}
    for one in related:
        parent = one.parent_id if one.parent_id in by_id and one.parent_id != one.uuid else None
        children.setdefault(parent, []).append(one)
    rows: list[dict[str, Any]] = []
    waiting = [(one, 0) for one in reversed(children.get(None, []))]
    seen = set()
    while waiting:
        one, depth = waiting.pop()
        if one.uuid in seen:
            continue
        seen.add(one.uuid)
        rows.append({**row(context, one), "depth": depth})
        waiting += [(child, depth + 1) for child in reversed(children.get(one.uuid, []))]
    return rows


def _possible(context: Context, task: Task | None, record: Record | None) -> dict[str, bool]:
    state = task.state if task is not None else record.status if record is not None else ""
    free, over = not context.options.read_only, state in states.READY_STATES
    known = calling(task, record) is not None
    return {
        "revoke": free and not over,
        "terminate": free and not over,
        "retry": free and known and state == states.FAILURE,
        "send-again": free and known,
    }


def calling(task: Task | None, record: Record | None) -> tuple[str, list[Any], dict[str, Any]] | None:
    """The name and the arguments of a task, from its record, or from its event where that has them in full."""
    extra = record.extra if record is not None else {}
    if isinstance(extra.get("name"), str) and "args" in extra:
        return extra["name"], list(extra["args"] or ()), dict(extra.get("kwargs") or {})
    name = task.name if task is not None else None
    if task is None or name is None:
        return None
    try:
        args = ast.literal_eval(task.args or "()")
        kwargs = ast.literal_eval(task.kwargs or "{}")
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    if not isinstance(args, list | tuple) or not isinstance(kwargs, dict) or _is_cut([*args, *kwargs.values()]):
        return None
    return str(name), list(args), kwargs


def _is_cut(values: Iterable[Any]) -> bool:
    """Whether a value was shortened for its event."""
    for value in values:
        if value is ... or (isinstance(value, str) and value.endswith("...")):
            return True
        inner = value.values() if isinstance(value, dict) else value
        if isinstance(value, dict | list | tuple | set) and _is_cut(inner):
            return True
    return False


@acting
def act(request: Request, body: dict[str, Any]) -> Response:
    """Revoke a task, terminate it, run it again under its id, or send its call again."""
    context, task_id, action = context_of(request), request.path_params["task"], request.path_params["action"]
    app = context.app
    if action in ("revoke", "terminate"):
        signal = str(body.get("signal") or "SIGTERM")
        app.control.revoke(task_id, terminate=action == "terminate", signal=signal)
        known = context.collector.cluster.task(task_id)
        if action == "revoke" and known is not None and known.state == states.STARTED:
            text = f"{task_id} runs already and goes on: Terminate ends it. It will not be retried"
            return json_answer({"done": True, "message": text})
        return json_answer({"done": True, "message": f"Revoked {task_id}"})
    if action not in ("retry", "send-again"):
        raise ApiError(404, f"there is no action {action!r}")
    task, record = context.collector.cluster.task(task_id), _record(context, task_id)
    found = calling(task, record)
    if found is None:
        raise ApiError(409, "the arguments of the task are not known whole: set result_extended, so that results "
                            "keep them")  # fmt: skip
    name, args, kwargs = found
    options: dict[str, Any] = {}
    if (queue := (record.extra.get("queue") if record is not None else None) or (task and queue_of(task))) is not None:
        options["queue"] = queue
    if action == "retry":
        if (task.state if task is not None else record.status if record is not None else "") != states.FAILURE:
            raise ApiError(409, "only a task that has failed is run again under its id")
        options["task_id"] = task_id
    sent = app.send_task(name, args, kwargs, **options)
    return json_answer({"done": True, "message": f"Sent {name}", "task": sent.id})
