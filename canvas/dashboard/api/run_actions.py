"""Actions on runs of workflows, which of them are possible, and the workers that keep a run from going on."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from canvas.dashboard.answers import ApiError, acting, json_answer
from canvas.dashboard.context import Context, context_of
from canvas.model import states
from canvas.model.run_index import in_celery_form
from canvas.workflows.run import Run
from canvas.workflows.status import RunStatus


def stopped_by(context: Context, run: Run, status: RunStatus) -> list[str]:
    """Celery workers that have run tasks of a run which only workers of canvas advance: the run stops at these
    tasks."""
    if status.over or in_celery_form(run.about):
        return []
    return context.collector.stopped_runs.workers_of_celery(run.id, str(run.attempt))


def possible(context: Context, status: RunStatus) -> dict[str, bool]:
    """Which actions are possible now."""
    free = not context.options.read_only
    return {
        "cancel": free and not status.over,
        "signal": free and not status.over,
        "resume": free and status.over and status.state != states.SUCCESS,
        "force": free and not status.over,
        "again": free and status.over,
        "retry": free,
    }


@acting
def act(request: Request, body: dict[str, Any]) -> Response:
    """Cancel a run, resume it, run a node of it again, or run all of it again."""
    context, action = context_of(request), request.path_params["action"]
    run = context.app.workflow(request.path_params["run"])
    match action:
        case "cancel":
            done = run.cancel(terminate=bool(body.get("terminate")))
            left = "The run has ended already, or only its finally_ nodes are left"
            return json_answer({"done": done, "message": "Cancelled" if done else left})
        case "resume":
            done = run.resume(force=bool(body.get("force")))
            return json_answer({"done": done, "message": "Resumed" if done else "There is nothing to resume"})
        case "again":
            if not isinstance(body.get("node"), str):
                raise ApiError(400, "again: expected the name of a node, as node")
            done = run.again(body["node"])
            return json_answer({"done": done, "message": "Started" if done else "The run has not ended"})
        case "retry":
            new = run.retry()
            return json_answer({"done": True, "message": "Started a new run", "run": new.id})
        case "signal":
            if not isinstance(body.get("name"), str):
                raise ApiError(400, "signal: expected the name of a signal, as name")
            run.signal(body["name"], body.get("payload"), key=body.get("key"))
            return json_answer({"done": True, "message": "Sent"})
    raise ApiError(404, f"there is no action {action!r}")
