"""Flower's paths about workers."""

from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from canvas.dashboard.answers import json_answer
from canvas.dashboard.collecting.workers import questions_of
from canvas.dashboard.context import Context, context_of
from canvas.dashboard.flower.arguments import Arguments, FlowerError
from canvas.errors import BrokerError


async def list_workers(request: Request) -> Response:
    """The answers of workers to Flower's questions."""
    given = await Arguments.of(request)
    refresh, status = given.value("refresh", bool, False), given.value("status", bool, False)
    name = given.text("workername")
    context = context_of(request)
    if status:
        known = context.collector.cluster.workers_now()
        return json_answer({worker.hostname: worker.alive for worker in known})
    return await run_in_threadpool(_workers, context, name, refresh)


def _workers(context: Context, name: str | None, refresh: bool) -> Response:
    answers = context.collector.answers
    known = answers.all()
    if refresh or not known or any("registered" not in one for one in known.values()):
        try:
            answers.ask(questions_of(name if refresh else None), name if refresh else None)
        except BrokerError as exc:
            raise FlowerError(503, f"Failed to update workers: {exc}") from exc
        known = answers.all()
    for one in known.values():
        if isinstance(one.get("stats"), dict):
            broker = {key: value for key, value in one["stats"].get("broker", {}).items() if key != "alternates"}
            one["stats"] = {**one["stats"], "broker": broker}
    if name and name not in known:
        raise FlowerError(404, f"Unknown worker '{name}'")
    return json_answer({name: known[name]} if name else known)


def checked_worker(context: Context, name: str) -> str:
    """The name of a worker that has answered. Raises FlowerError."""
    if not context.collector.answers.one(name):
        context.collector.answers.ask(("stats",), name, expected=1)
    if not context.collector.answers.one(name):
        raise FlowerError(404, f"Unknown worker '{name}'")
    return name


def commanded(
    context: Context, command: str, arguments: dict[str, Any], worker: str, done: str | None, failed: str
) -> Response:
    """Send a command to a worker. ``done``: the message of success, by default the worker's own; ``failed``: the text
    before the reason of a failure."""
    answers = context.app.control.broadcast(command, arguments, [worker], reply=True)
    answer = answers[0].get(worker) if answers else None
    if isinstance(answer, dict) and "ok" in answer:
        return json_answer({"message": answer["ok"] if done is None else done})
    reason = answer.get("error", "Unknown reason") if isinstance(answer, dict) else "Unknown reason"
    quoted = f"'{reason}'" if failed.endswith("'") else reason
    return PlainTextResponse(f"{failed.removesuffix(chr(39))}{quoted}", 403)


async def act(request: Request) -> Response:
    """Shut a worker down, or change its pool or its queues."""
    given = await Arguments.of(request)
    return await run_in_threadpool(_act, context_of(request), request.path_params, given)


def _act(context: Context, path: dict[str, str], given: Arguments) -> Response:
    action, name = path["action"], checked_worker(context, path["worker"])
    match action:
        case "shutdown":
            context.app.control.broadcast("shutdown", destination=[name])
            return json_answer({"message": "Shutting down!"})
        case "pool/restart":
            message = f"Restarting '{name}' worker's pool"
            return commanded(context, "pool_restart", {"reload": False}, name, message,
                             f"Failed to restart the '{name}' pool: ")  # fmt: skip
        case "pool/grow" | "pool/shrink":
            n, what = given.value("n", int, 1), action.partition("/")[2]
            done = f"{'Growing' if what == 'grow' else 'Shrinking'} '{name}' worker's pool by {n}"
            return commanded(context, f"pool_{what}", {"n": n}, name, done,
                             f"Failed to {what} '{name}' worker's pool: ")  # fmt: skip
        case "pool/autoscale":
            bounds = {bound: int(_whole(given, bound)) for bound in ("min", "max")}
            done = f"Autoscaling '{name}' worker (min={bounds['min']}, max={bounds['max']})"
            return commanded(context, "autoscale", bounds, name, done, f"Failed to autoscale '{name}' worker: ")
    queue = given.required("queue")
    if action == "queue/add-consumer":
        failed = f"Failed to add '{queue}' consumer to '{name}' worker: "
        return commanded(context, "add_consumer", {"queue": queue}, name, None, failed)
    failed = f"Failed to cancel '{queue}' consumer from '{name}' worker: "
    return commanded(context, "cancel_consumer", {"queue": queue}, name, None, failed)


def _whole(given: Arguments, name: str) -> int:
    given.required(name)
    found: int = given.value(name, int)
    return found


ACTIONS = (
    "shutdown", "pool/restart", "pool/grow", "pool/shrink", "pool/autoscale", "queue/add-consumer",
    "queue/cancel-consumer",
)  # fmt: skip
