"""Every path of the dashboard's own API, with its handler and its description."""

from collections.abc import Callable
from typing import Any, NamedTuple

from starlette.routing import Route

from canvas.dashboard.api import overview, queues, run_actions, schedules, tasks, workers, workflows

PREFIX = "/api/v1"


class Operation(NamedTuple):
    """An operation of the API."""

    method: str
    path: str
    handler: Callable[..., Any]
    about: str
    query: tuple[str, ...] = ()
    """Parameters of the query."""
    body: tuple[str, ...] = ()
    """Fields of the body."""


OPERATIONS = [
    Operation("GET", "/overview", overview.overview, "The figures of the first page."),
    Operation("GET", "/series", overview.series, "The last hour in steps of five seconds, by column."),
    Operation("GET", "/session", overview.session, "Who asks, and what is allowed."),
    Operation("GET", "/stream", overview.stream, "The figures of the first page once a second, as server-sent events."),
    Operation("GET", "/workflows", workflows.list_runs, "Runs of workflows, the latest first.",
              ("name", "state", "text", "since", "until", "limit")),
    Operation(
        "GET", "/composites", workflows.composites,
        "Chains, groups and chords of either library, from events and records.", ("text", "state", "limit"),
    ),
    Operation("GET", "/workflows/{run}", workflows.one_run, "A run with the states of its nodes."),
    Operation("GET", "/workflows/{run}/picture", workflows.picture, "Where the boxes of a run's graph stand.",
              ("expand",)),
    Operation("GET", "/workflows/{run}/nodes/{node:path}", workflows.node, "Everything that is known of a node."),
    Operation("POST", "/workflows/{run}/{action}", run_actions.act,
              "Act on a run: cancel, resume, again (a node and all that depend on it), retry (a new run), signal.",
              body=("terminate", "force", "node", "name", "payload", "key")),
    Operation("GET", "/tasks", tasks.list_tasks, "Tasks, those with the latest events first.",
              ("name", "state", "worker", "queue", "text", "since", "until", "limit")),
    Operation("GET", "/task-names", tasks.names, "The names of tasks."),
    Operation("GET", "/tasks/{task}", tasks.one_task, "Everything that is known of a task, and its tree."),
    Operation("POST", "/tasks/{task}/{action}", tasks.act, "Act on a task: revoke, terminate, retry, send-again.",
              body=("signal",)),
    Operation("GET", "/workers", workers.list_workers, "The workers of both libraries."),
    Operation("GET", "/workers/{worker}", workers.one_worker, "A worker as it answers now."),
    Operation("POST", "/workers/{worker}/{action}", workers.act,
              "Act on a worker: grow, shrink, autoscale, restart, rate-limit, time-limit, add-consumer, "
              "cancel-consumer, shutdown.", body=("n", "min", "max", "task", "rate", "soft", "hard", "queue")),
    Operation("GET", "/queues", queues.list_queues, "All queues, as they were at the last look."),
    Operation("GET", "/queues/{queue}/next", queues.next_messages, "The messages that workers take next."),
    Operation("GET", "/queues/{queue}/dead-letters", queues.dead_letters, "Messages that no worker could run.",
              ("limit",)),
    Operation("POST", "/queues/{queue}/{action}", queues.act,
              "Act on a queue: requeue or delete dead letters, purge its messages.", body=("keys",)),
    Operation("GET", "/schedules", schedules.list_entries, "The entries of periodic tasks."),
    Operation("POST", "/schedules/{entry}/{action}", schedules.act, "Act on an entry: pause, resume, run."),
]  # fmt: skip


def routes() -> list[Route]:
    """The routes of the API."""
    return [Route(f"{PREFIX}{one.path}", one.handler, methods=[one.method]) for one in OPERATIONS]


def openapi(version: str) -> dict[str, Any]:
    """The description of the API in OpenAPI's form."""
    paths: dict[str, Any] = {}
    for one in OPERATIONS:
        path = f"{PREFIX}{one.path}".replace(":path}", "}")
        names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
        parameters = [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]
        parameters += [{"name": name, "in": "query", "schema": {"type": "string"}} for name in one.query]
        described: dict[str, Any] = {
            "summary": one.about, "parameters": parameters,
            "responses": {"200": {"description": "Done."}, "default": {"description": "The reason, as `error`."}},
        }  # fmt: skip
        if one.method == "POST":
            fields: dict[str, Any] = {name: {} for name in one.body}
            schema = {"type": "object", "properties": fields}
            described["requestBody"] = {"content": {"application/json": {"schema": schema}}}
            described["responses"]["403"] = {"description": "Refused: read only, or asked for by another page."}
        paths.setdefault(path, {})[one.method.lower()] = described
    about = {"title": "canvas dashboard", "version": version, "description": "All that the pages show and do."}
    return {"openapi": "3.1.0", "info": about, "paths": paths}
