"""Flower's paths that show tasks and their results."""

import json
from datetime import datetime
from functools import partial
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from canvas.dashboard.answers import json_answer
from canvas.dashboard.context import Context, context_of
from canvas.dashboard.flower.arguments import Arguments, FlowerError
from canvas.dashboard.flower.search import QueryError, compiled
from canvas.errors import TimeoutError
from canvas.model import states
from canvas.remote.cluster_entries import Task

_SORT_KEYS = frozenset({"name", "state", "received", "started"})


def as_flower(context: Context, task: Task) -> dict[str, Any]:
    """A task as Flower shows it."""
    found = task.as_dict()
    worker = found.pop("worker")
    if worker is not None:
        found["worker"] = worker.hostname
    for name in ("args", "kwargs"):
        found[name] = context.arguments(found[name])
    for name in ("result", "exception", "traceback"):
        found[name] = context.result(found[name])
    return found


async def list_tasks(request: Request) -> Response:
    """Tasks by their ids, those with the latest events first."""
    given, context = await Arguments.of(request), context_of(request)
    limit, offset = given.value("limit", int), max(given.value("offset", int, 0), 0)
    sort_by = given.text("sort_by")
    if sort_by and sort_by.lstrip("-") not in _SORT_KEYS:
        raise FlowerError(400, f"Invalid sort_by '{sort_by}', expected one of {', '.join(sorted(_SORT_KEYS))}")
    try:
        fits = compiled(given.text("search", raw=True) or "")
    except QueryError as exc:
        return json_answer({"error": str(exc)}, 400)
    named = {name: _unless_all(given.text(name)) for name in ("workername", "taskname", "state")}
    span = _moment(given.text("received_start")), _moment(given.text("received_end"))
    tasks = [task for task in context.collector.cluster.tasks_now() if _wanted(task, span, **named) and fits(task)]
    tasks.sort(key=partial(_sort_key, sort_by), reverse=not sort_by or sort_by.startswith("-"))
    end = None if limit is None else offset + max(limit, 0)
    return json_answer({str(task.uuid): as_flower(context, task) for task in tasks[offset:end]})


def _unless_all(text: str | None) -> str | None:
    return None if text == "All" else text


def _moment(text: str | None) -> float | None:
    if not text:
        return None
    try:
        return datetime.strptime(text, "%Y-%m-%d %H:%M").timestamp()
    except ValueError:
        raise FlowerError(
            400, "Invalid received_start or received_end, expected format 'YYYY-MM-DD HH:MM'"
        ) from None  # fmt: skip


def _wanted(
    task: Task, span: tuple[float | None, float | None], workername: str | None, taskname: str | None, state: str | None
) -> bool:  # fmt: skip
    start, end = span
    worker = task.worker.hostname if task.worker is not None else ""
    pairs = ((workername, worker), (taskname, task.name), (state, task.state))
    if any(wanted and wanted.casefold() != str(found or "").casefold() for wanted, found in pairs):
        return False
    early = start is not None and task.received is not None and task.received < start
    return not early and (end is None or task.received is None or task.received <= end)


def _sort_key(sort_by: str | None, task: Task) -> tuple[Any, ...]:
    if not sort_by:
        return task.timestamp or 0, str(task.uuid)
    value = getattr(task, sort_by.lstrip("-"))
    shown = value if isinstance(value, int | float) else str(value or "").casefold()
    return value is not None, "" if value is None else shown, str(task.uuid)


def types(request: Request) -> Response:
    """The names of tasks that events have named."""
    return json_answer({"task-types": context_of(request).collector.cluster.task_types()})


def info(request: Request) -> Response:
    """One task."""
    context, task_id = context_of(request), request.path_params["task"]
    task = context.collector.cluster.task(task_id)
    if task is None:
        raise FlowerError(404, f"Unknown task '{task_id}'")
    return json_answer({"worker": None, **as_flower(context, task)})


def lengths(request: Request) -> Response:
    """The lengths of the queues that workers consume."""
    context = context_of(request)
    answers = context.collector.answers.all().values()
    active = {queue["name"] for one in answers for queue in one.get("active_queues") or () if isinstance(queue, dict)}
    names = sorted(active or {queue.name for queue in context.app.router.consumed()})
    admin = context.app.driver.admin
    return json_answer({"active_queues": [{"name": name, "messages": admin.queue_length(name)} for name in names]})


def ended(context: Context, result: Any) -> dict[str, Any]:
    """The result of a task that has ended, and the traceback of one that failed."""
    found = {"result": context.result(_json_able(result.result))}
    return {**found, "traceback": context.result(result.traceback)} if result.state == states.FAILURE else found


def _json_able(value: Any) -> Any:
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return repr(value)
    return value


async def result(request: Request) -> Response:
    """The state and the result of a task."""
    given = await Arguments.of(request)
    timeout = given.value("timeout", float)
    return await run_in_threadpool(_result, context_of(request), request.path_params["task"], timeout)


def _result(context: Context, task_id: str, timeout: float | None) -> Response:
    if context.app.driver.results is None:
        raise FlowerError(503)
    found = context.app.AsyncResult(task_id)
    answer = {"task-id": task_id, "state": found.state}
    if timeout:
        try:
            found.get(timeout=timeout, propagate=False)
        except TimeoutError:
            return json_answer(answer)
        return json_answer({**answer, **ended(context, found)})
    return json_answer({**answer, **ended(context, found)} if found.ready() else answer)
