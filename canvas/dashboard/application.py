"""The dashboard as an ASGI application: its API, its pages, and the collector behind them."""

import asyncio
import atexit
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html import escape
from pathlib import Path

from canvas.app.application import Canvas
from canvas.dashboard.app_parts import CeleryApp, canvas_of
from canvas.dashboard.options import DashboardOptions
from canvas.errors import ConfigurationError
from canvas.text import pip_install

try:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import HTMLResponse, PlainTextResponse, Response
    from starlette.routing import Mount, Route
    from starlette.staticfiles import StaticFiles
    from starlette.types import Receive, Scope, Send
except ImportError as exc:
    raise ConfigurationError(f"the dashboard needs Starlette: {pip_install('dashboard')}") from exc

from canvas.dashboard.answers import ERRORS, json_answer, on_error, on_wrong_method
from canvas.dashboard.api.overview import healthcheck
from canvas.dashboard.collecting.collector import Collector
from canvas.dashboard.context import Context
from canvas.dashboard.flower.arguments import FlowerError, on_flower_error
from canvas.dashboard.flower.routes import routes as flower_routes
from canvas.dashboard.history import History
from canvas.dashboard.metrics import Metrics
from canvas.dashboard.routes import PREFIX, openapi, routes
from canvas.dashboard.security import Guard
from canvas.version import __version__

STATIC = Path(__file__).parent / "static"
_PAGES = ("/", "/workflows", "/tasks", "/workers", "/queues", "/schedules", "/docs")


def application(app: Canvas | CeleryApp, options: DashboardOptions) -> "Dashboard":
    """The application of a dashboard; it begins to collect at its start, or with the first request."""
    return Dashboard(app, options)


class Dashboard:
    """An ASGI application. Mounted in another one, it starts with the first request."""

    def __init__(self, app: Canvas | CeleryApp, options: DashboardOptions) -> None:
        canvas = canvas_of(app)
        collector = Collector(canvas, options)
        self.context = Context(
            canvas, options, collector, Metrics(collector, options.runtime_buckets), _history(collector, options)
        )
        self._inner = Guard(self._routes(), options)

    def _routes(self) -> Starlette:
        pages = [Route(path, _page) for path in _PAGES]
        pages += [Route(f"{path}/{{rest:path}}", _page) for path in _PAGES if path != "/"]
        described = openapi(__version__)
        return Starlette(
            routes=[
                *routes(),
                *flower_routes(),
                Route("/api/openapi.json", lambda _: json_answer(described)),
                Route("/healthcheck", healthcheck),
                Mount("/static", StaticFiles(directory=STATIC), name="static"),
                *pages,
            ],
            exception_handlers={
                **dict.fromkeys(ERRORS, on_error),
                FlowerError: on_flower_error,
                404: _on_unknown,
                405: on_wrong_method,
            },
            lifespan=self._lifespan,
        )

    @asynccontextmanager
    async def _lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        self.start()
        yield
        await asyncio.to_thread(self.stop)

    def start(self) -> None:
        """Start the collector unless it runs; it is stopped at the end of the process."""
        if self.context.collector.start():
            atexit.register(self.stop)

    def stop(self) -> None:
        """Stop the collector, and write history."""
        atexit.unregister(self.stop)
        self.context.collector.stop()
        if self.context.history is not None:
            self.context.history.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            self.start()
        scope["canvas_dashboard"] = self.context
        await self._inner(scope, receive, send)


def _history(collector: Collector, options: DashboardOptions) -> History | None:
    if options.store is None:
        return None
    try:
        from canvas.drivers.sql.history import SQLHistory  # imported late: SQLAlchemy is an extra
    except ImportError as exc:
        raise ConfigurationError(f"store needs SQLAlchemy: {pip_install('sql')}") from exc
    limits = options.store_age, options.store_tasks, options.store_bytes
    history = History(SQLHistory(options.store), collector, *limits)
    history.attach()
    return history


async def _on_unknown(request: Request, exc: Exception) -> Response:
    """The answer for a path that does not exist: a browser gets the frame of the pages, which then shows that."""
    path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    if path.startswith(f"{PREFIX}/"):
        return json_answer({"error": f"there is no operation {request.method} {path}"}, 404)
    if path.startswith(("/api/", "/static/")) or "text/html" not in request.headers.get("accept", ""):
        return PlainTextResponse("Not Found", 404)
    return _page(request, 404)


def _page(request: Request, status: int = 200) -> Response:
    """The page, which finds its data by the API below the path at which the dashboard is mounted."""
    header, token = request.scope.get("canvas_host_csrf", ("", ""))
    values = {"base": f"{request.scope.get('root_path', '')}/", "csrf_header": header, "csrf_token": token}
    text = (STATIC / "index.html").read_text()
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", escape(value, quote=True))
    return HTMLResponse(text, status)
