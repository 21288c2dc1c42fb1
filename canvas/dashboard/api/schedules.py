"""The entries of periodic tasks."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from canvas.beat.schedule import EntryInfo
from canvas.dashboard.answers import ApiError, json_answer
from canvas.dashboard.context import context_of
from canvas.errors import ConfigurationError


def list_entries(request: Request) -> Response:
    """All entries, with their last and next runs. ``unavailable``: why the broker cannot keep entries, else null."""
    schedule = context_of(request).app.schedule
    try:
        entries = schedule.list()
    except ConfigurationError as exc:
        return json_answer({"entries": [], "unavailable": str(exc)})
    return json_answer({"entries": [_shown(entry) for entry in entries], "unavailable": None})


def _shown(entry: EntryInfo) -> dict[str, Any]:
    state = entry.state
    return {
        "name": entry.name, "task": entry.task, "schedule": entry.schedule, "source": entry.source, "due": entry.due,
        "paused": state.paused, "last_run": state.last_run.timestamp() if state.count else None, "count": state.count,
        "skipped": state.skipped, "missed": state.missed, "history": state.history,
    }  # fmt: skip


def act(request: Request) -> Response:
    """Pause an entry, resume it, or send its task now."""
    schedule, action = context_of(request).app.schedule, request.path_params["action"]
    name = request.path_params["entry"]
    match action:
        case "pause":
            schedule.pause(name)
            return json_answer({"done": True, "message": f"Paused {name}"})
        case "resume":
            schedule.resume(name)
            return json_answer({"done": True, "message": f"Resumed {name}"})
        case "run":
            return json_answer({"done": True, "message": f"Sent {name}", "sent": schedule.run(name)})
    raise ApiError(404, f"there is no action {action!r}")
