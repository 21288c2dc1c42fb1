"""The headers of a chord's body that the program's own code sends."""

from collections.abc import Mapping
from typing import Any

from canvas.app.application import Canvas
from canvas.worker.settlement.job import Job


def body_of(app: Canvas, done: Job) -> Mapping[str, Any] | None:
    """The body, in wire form, of the chord that a task is a part of; ``None`` outside a chord.

    If an ``apply_async`` or a ``send_task`` of the program's own is to send it, it has the task's headers, too: the
    call comes when the context of the task is gone. Such code keeps headers that are there, as that of a tenant.
    """
    body: Mapping[str, Any] | None = done.message.embed["chord"]
    headers = done.request.headers if body else None
    if not body or not headers or not (app.sender.app_sends_itself or _sends_itself(app, body)):
        return body
    options = body.get("options") or {}
    return {**body, "options": {**options, "headers": {**headers, **(options.get("headers") or {})}}}


def _sends_itself(app: Canvas, sig: Any) -> bool:
    """Whether a task with its own ``apply_async`` is sent where a signature starts."""
    kwargs = sig.get("kwargs") or {}
    match sig.get("subtask_type"):
        case "chain":
            return any(_sends_itself(app, step) for step in (kwargs.get("tasks") or ())[:1])
        case "group":
            return any(_sends_itself(app, member) for member in kwargs.get("tasks") or ())
        case "chord":
            return any(_sends_itself(app, member) for member in kwargs.get("header") or () if isinstance(member, dict))
    task = app.tasks.get(sig.get("task"))
    return task is not None and task.sends_itself
