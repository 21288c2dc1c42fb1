"""Flower's paths that call a task, or act on one or on all of a name."""

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from canvas.dashboard.answers import bytes_of, json_answer
from canvas.dashboard.context import Context, context_of
from canvas.dashboard.flower.arguments import Arguments, FlowerError
from canvas.dashboard.flower.tasks import ended
from canvas.dashboard.flower.workers import checked_worker, commanded
from canvas.errors import TimeoutError

_FORM = "%Y-%m-%d %H:%M:%S.%f"


async def apply(request: Request) -> Response:
    """Call a task of the app, and wait for its result with ``apply``."""
    body = await _body(request)
    return await run_in_threadpool(_apply, context_of(request), request.path_params, body)


async def _body(request: Request) -> tuple[list[Any], dict[str, Any], dict[str, Any]]:
    body = await bytes_of(request)
    try:
        options = json.loads(body or b"{}")
    except ValueError as exc:
        raise FlowerError(400, str(exc)) from exc
    if not isinstance(options, dict):
        raise FlowerError(400, "invalid options")
    args, kwargs = options.pop("args", []), options.pop("kwargs", {})
    if not isinstance(args, list):
        raise FlowerError(400, "args must be an array")
    return args, kwargs, options


def _apply(
    context: Context, path: dict[str, str], body: tuple[list[Any], dict[str, Any], dict[str, Any]]
) -> Response:  # fmt: skip
    (args, kwargs, options), name, how = body, path["name"], path["how"]
    if how == "send-task":
        result = context.app.send_task(name, args=args, kwargs=kwargs, **options)
    else:
        if name not in context.app.tasks:
            raise FlowerError(404, f"Unknown task '{name}'")
        timeout = options.pop("timeout", None) if how == "apply" else None
        try:
            timeout = None if timeout is None else float(timeout)
        except (TypeError, ValueError):
            raise FlowerError(400, "Invalid timeout") from None
        _normalize(options)
        result = context.app.tasks[name].apply_async(args=args, kwargs=kwargs, **options)
        if how == "apply":
            return json_answer(_awaited(context, result, timeout))
    found = {"task-id": result.id}
    return json_answer({**found, "state": result.state} if context.app.driver.results is not None else found)


def _normalize(options: dict[str, Any]) -> None:
    """Options as ``apply_async`` takes them. Raises FlowerError."""
    try:
        if "eta" in options:
            options["eta"] = datetime.strptime(options["eta"], _FORM)
        if "countdown" in options:
            options["countdown"] = float(options["countdown"])
        if "expires" in options:
            try:
                options["expires"] = float(options["expires"])
            except ValueError:
                options["expires"] = datetime.strptime(options["expires"], _FORM)
    except (TypeError, ValueError):
        raise FlowerError(400, "Invalid option") from None


def _awaited(context: Context, result: Any, timeout: float | None) -> dict[str, Any]:
    try:
        result.get(propagate=False, timeout=timeout)
    except TimeoutError:
        return {"task-id": result.id, "state": result.state}
    return {"task-id": result.id, **ended(context, result), "state": result.state}


async def act(request: Request) -> Response:
    """Revoke or abort a task, or change the limits of all tasks of a name."""
    given = await Arguments.of(request)
    action: Callable[..., Response] = _ACTIONS[request.path_params["action"]]
    return await run_in_threadpool(action, context_of(request), request.path_params["task"], given)


def _revoke(context: Context, task_id: str, given: Arguments) -> Response:
    signal = given.text("signal", "SIGTERM") or "SIGTERM"
    context.app.control.revoke(task_id, terminate=given.value("terminate", bool, False), signal=signal)
    return json_answer({"message": f"Revoked '{task_id}'"})


def _abort(context: Context, task_id: str, given: Arguments) -> Response:
    if context.app.driver.results is None:
        raise FlowerError(503)
    context.app.backend.store_result(task_id, None, "ABORTED")
    return json_answer({"message": f"Aborted '{task_id}'"})


def _named(context: Context, name: str, worker: str) -> str:
    if name not in context.app.tasks:
        raise FlowerError(404, f"Unknown task '{name}'")
    return checked_worker(context, worker)


def _time_limits(context: Context, name: str, given: Arguments) -> Response:
    worker, limits = given.required("workername"), {key: given.value(key, float) for key in ("hard", "soft")}
    arguments = {"task_name": name, **limits}
    return commanded(context, "time_limit", arguments, _named(context, name, worker), None, "Failed to set timeouts: '")


def _rate_limit(context: Context, name: str, given: Arguments) -> Response:
    worker, arguments = given.required("workername"), {"task_name": name, "rate_limit": given.required("ratelimit")}
    failed = "Failed to set rate limit: '"
    return commanded(context, "rate_limit", arguments, _named(context, name, worker), None, failed)


_ACTIONS = {"revoke": _revoke, "abort": _abort, "timeout": _time_limits, "rate-limit": _rate_limit}
ACTIONS = tuple(_ACTIONS)
