"""Queues, and the messages that no worker could run."""

import hashlib
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from canvas.dashboard.answers import ApiError, acting, json_answer, number_of
from canvas.dashboard.context import Context, context_of
from canvas.drivers.ports.values import DeadLetter
from canvas.drivers.stored_messages import as_new
from canvas.errors import CanvasError
from canvas.producer.purge import purge
from canvas.text import short_repr
from canvas.wire import task_message as wire

_MOST = 500


def list_queues(request: Request) -> Response:
    """All queues, as they were last read."""
    collector = context_of(request).collector
    rates = collector.series.rates()
    return json_answer(
        {
            "queues": [one.as_dict() for one in collector.queues.states.values()],
            "in_flight": collector.queues.in_flight,
            "received": rates.get("received", 0.0),
            "source": collector.health.as_dict().get("queues"),
        }
    )


def dead_letters(request: Request) -> Response:
    """The dead letters of a queue, the latest first."""
    context, queue = context_of(request), request.path_params["queue"]
    limit = number_of(request.query_params.get("limit"), "limit", 100, _MOST)
    letters = context.app.driver.admin.dead_letters(queue)
    latest = list(reversed(letters))[:limit]
    return json_answer({"letters": [_shown(context, letter) for letter in latest], "total": len(letters)})


def next_messages(request: Request) -> Response:
    """The messages that workers take next, one of each priority, where the broker shows them."""
    context, queue = context_of(request), request.path_params["queue"]
    found = context.app.driver.admin.next_messages(queue)
    return json_answer({"messages": [_message(context, payload) for payload in found]})


def _key(letter: DeadLetter) -> str:
    """The name of a dead letter in the API: the digest of its token, or its payload without one, and of its time."""
    known = letter.token or letter.payload
    return hashlib.sha256(known + repr(letter.time).encode()).hexdigest()[:32]


def _shown(context: Context, letter: DeadLetter) -> dict[str, Any]:
    about = {"key": _key(letter), "reason": letter.reason, "time": letter.time}
    return {**about, **_message(context, letter.payload)}


def _message(context: Context, payload: bytes) -> dict[str, Any]:
    app, codec = context.app, context.app.driver.broker.codec
    headers = codec.headers_of(payload)
    found = {
        "bytes": len(payload), "id": headers.get("id"), "task": headers.get("task"),
        "args": None, "kwargs": None, "unreadable": None,
    }  # fmt: skip
    try:
        message = wire.decode(codec.decode(payload), accept=app.accept_content, signer=app.signer)
    except CanvasError as exc:
        found["unreadable"] = str(exc)
    else:
        found["args"] = context.arguments(short_repr(tuple(message.args), 2_000))
        found["kwargs"] = context.arguments(short_repr(message.kwargs, 2_000))
    return found


@acting
def act(request: Request, body: dict[str, Any]) -> Response:
    """Requeue or delete dead letters of a queue, or delete the queue's messages."""
    context, queue, action = context_of(request), request.path_params["queue"], request.path_params["action"]
    if action == "purge":
        count = purge(context.app, queue)
        return json_answer({"done": True, "count": count, "message": f"Deleted {count} messages of {queue}"})
    if action not in ("requeue", "delete"):
        raise ApiError(404, f"there is no action {action!r}")
    wanted = body.get("keys")
    if wanted != "all" and not (isinstance(wanted, list) and all(isinstance(key, str) for key in wanted)):
        raise ApiError(400, 'keys: expected the keys of dead letters, or "all"')
    admin, codec, count = context.app.driver.admin, context.app.driver.broker.codec, 0
    for letter in admin.dead_letters(queue):
        if wanted != "all" and _key(letter) not in wanted:
            continue
        if action == "delete":
            count += admin.delete_dead_letter(queue, letter)
        else:
            count += admin.requeue_dead_letter(queue, letter, as_new(codec, letter.payload))
    done = "Put back" if action == "requeue" else "Deleted"
    return json_answer({"done": count > 0, "count": count, "message": f"{done}: {count}"})
