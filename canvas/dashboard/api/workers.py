"""Workers of both libraries, and remote control of them."""

import time
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from canvas.dashboard.answers import ApiError, acting, json_answer
from canvas.dashboard.collecting.memory import memory_by_process
from canvas.dashboard.collecting.workers import OF_FLOWER
from canvas.dashboard.context import Context, context_of
from canvas.remote.cluster_entries import Worker

_LISTED = 200
"""Tasks of a worker that are shown in each list."""


def row(context: Context, worker: Worker) -> dict[str, Any]:
    """A worker in a list."""
    answers = context.collector.answers.one(worker.hostname or "")
    stats = answers.get("stats")
    stats = stats if isinstance(stats, dict) else {}
    pool = stats.get("pool") if isinstance(stats.get("pool"), dict) else {}
    rusage = stats.get("rusage") if isinstance(stats.get("rusage"), dict) else {}
    queues = answers.get("active_queues")
    processes = memory_by_process(stats)
    return {
        "name": worker.hostname,
        "alive": worker.alive,
        "library": context.collector.answers.library_of(worker),
        "version": worker.sw_ver,
        "pid": worker.pid,
        "active": worker.active,
        "processed": worker.processed,
        "loadavg": worker.loadavg,
        "heartbeat": worker.heartbeats[-1] if worker.heartbeats else None,
        "answered": answers.get("timestamp"),
        "pool": _pool_name(pool),
        "concurrency": (pool or {}).get("max-concurrency"),
        "prefetched": stats.get("prefetch_count"),
        "uptime": stats.get("uptime"),
        "memory": sum(processes.values()) if processes else (rusage or {}).get("maxrss"),
        "processes": processes,
        "queues": [one.get("name") for one in queues if isinstance(one, dict)] if isinstance(queues, list) else [],
    }


def _pool_name(pool: Any) -> str | None:
    """``prefork`` of ``celery.concurrency.prefork:TaskPool``."""
    implementation = (pool or {}).get("implementation")
    return None if not implementation else str(implementation).partition(":")[0].rpartition(".")[2]


def list_workers(request: Request) -> Response:
    """All workers in memory: those that events have named."""
    context = context_of(request)
    rows = [row(context, worker) for worker in context.collector.cluster.workers_now()]
    return json_answer({"workers": sorted(rows, key=lambda one: str(one["name"]))})


def one_worker(request: Request) -> Response:
    """A worker with its running and its prefetched tasks, as it answers now."""
    context, name = context_of(request), request.path_params["worker"]
    known = next((one for one in context.collector.cluster.workers_now() if one.hostname == name), None)
    if known is None and not context.collector.answers.one(name):
        raise ApiError(404, f"worker {name!r} is not known")
    asked = time.time()
    if known is None or known.alive:
        context.collector.answers.ask(OF_FLOWER, name, expected=1)
    answers = context.collector.answers.one(name)
    lists = {}
    for question in ("active", "reserved", "scheduled"):
        tasks = answers.get(question)
        lists[question] = [_task(context, one) for one in tasks[:_LISTED]] if isinstance(tasks, list) else []
    return json_answer(
        {
            **row(context, known or Worker(name)),
            "silent": answers.get("timestamp", 0.0) < asked,
            "tasks": lists,
            "registered": answers.get("registered") or [],
            "active_queues": answers.get("active_queues") or [],
            "stats": answers.get("stats") or {},
            "conf": answers.get("conf") or {},
            "can": not context.options.read_only,
        }
    )


def _task(context: Context, task: Any) -> dict[str, Any]:
    inner = task.get("request", task) if isinstance(task, dict) else {}
    inner = inner if isinstance(inner, dict) else {}
    return {
        "id": inner.get("id"), "name": inner.get("name") or inner.get("type"), "since": inner.get("time_start"),
        "args": context.arguments(str(inner.get("args"))), "kwargs": context.arguments(str(inner.get("kwargs"))),
        "eta": task.get("eta") if isinstance(task, dict) else None,
    }  # fmt: skip


def _whole(body: dict[str, Any], name: str, default: int | None = None) -> int:
    value = body.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ApiError(400, f"{name}: expected a whole number; got {value!r:.50}")
    return value


def _text(body: dict[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise ApiError(400, f"{name}: expected text; got {value!r:.50}")
    return value


def _seconds(body: dict[str, Any], name: str) -> float | None:
    value = body.get(name)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise ApiError(400, f"{name}: expected seconds; got {value!r:.50}")
    return value


def arguments_of(action: str, body: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The remote control command of an action, and its arguments. Raises ApiError."""
    match action:
        case "grow":
            return "pool_grow", {"n": _whole(body, "n", 1)}
        case "shrink":
            return "pool_shrink", {"n": _whole(body, "n", 1)}
        case "autoscale":
            return "autoscale", {"min": _whole(body, "min"), "max": _whole(body, "max")}
        case "restart":
            return "pool_restart", {"reload": False}
        case "rate-limit":
            return "rate_limit", {"task_name": _text(body, "task"), "rate_limit": _text(body, "rate")}
        case "time-limit":
            limits = {"soft": _seconds(body, "soft"), "hard": _seconds(body, "hard")}
            return "time_limit", {"task_name": _text(body, "task"), **limits}
        case "add-consumer":
            return "add_consumer", {"queue": _text(body, "queue")}
        case "cancel-consumer":
            return "cancel_consumer", {"queue": _text(body, "queue")}
    raise ApiError(404, f"there is no action {action!r}")


@acting
def act(request: Request, body: dict[str, Any]) -> Response:
    """Send a command to a worker, and answer with its reply."""
    context, name, action = context_of(request), request.path_params["worker"], request.path_params["action"]
    control, timeout = context.app.control, max(context.options.inspect_timeout, 2.0)
    if action == "shutdown":
        control.shutdown([name])
        return json_answer({"done": True, "message": f"{name} shuts down once its tasks have ended"})
    command, arguments = arguments_of(action, body)
    answers = control.broadcast(command, arguments, [name], reply=True, timeout=timeout)
    answer = answers[0].get(name) if answers else None
    if not isinstance(answer, dict) or "ok" not in answer:
        why = answer.get("error") if isinstance(answer, dict) else None
        raise ApiError(409, f"{name}: {why or f'no answer within {timeout:g} s'}")
    context.collector.answers.ask(worker=name, expected=1)
    return json_answer({"done": True, "message": str(answer["ok"])})
