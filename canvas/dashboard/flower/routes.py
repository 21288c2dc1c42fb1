"""Flower's paths, and the page of metrics."""

from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from canvas.dashboard.context import context_of
from canvas.dashboard.flower import actions, tasks, workers
from canvas.dashboard.flower.arguments import FlowerError


def metrics(request: Request) -> Response:
    """Metrics in Prometheus' text."""
    context = context_of(request)
    return Response(context.metrics.page(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _with(handler: Any, **fixed: str) -> Any:
    async def answer(request: Request) -> Response:
        if "" in request.path_params.values():
            raise FlowerError(404)
        request.scope["path_params"] = {**request.path_params, **fixed}
        found: Response = await handler(request)
        return found

    return answer


def _page_of(ours: str) -> Any:
    def lead(request: Request) -> Response:
        name = quote(request.path_params.get("name", ""), safe="@")
        root = request.scope.get("root_path", "")
        return RedirectResponse(f"{root}/{ours}/{name}".rstrip("/"), 301)

    return lead


def routes() -> list[Route]:
    """The routes of Flower's API, and of its pages, which lead to the dashboard's own."""
    found = [
        Route("/api/workers", workers.list_workers),
        Route("/api/tasks", tasks.list_tasks),
        Route("/api/task/types", tasks.types),
        Route("/api/queues/length", tasks.lengths),
        Route("/api/task/info/{task:path}", tasks.info),
        Route("/api/task/result/{task:path}", tasks.result),
        Route("/metrics", metrics),
        Route("/worker/{name:path}", _page_of("workers")),
        Route("/task/{name:path}", _page_of("tasks")),
        Route("/broker", _page_of("queues")),
    ]
    posted = [("worker", action, "worker", workers.act, "action") for action in workers.ACTIONS]
    posted += [("task", how, "name", actions.apply, "how") for how in ("apply", "async-apply", "send-task")]
    posted += [("task", action, "task", actions.act, "action") for action in actions.ACTIONS]
    return found + [
        Route(f"/api/{about}/{action}/{{{name}:path}}", _with(handler, **{fixed: action}), methods=["POST"])
        for about, action, name, handler, fixed in posted
    ]
