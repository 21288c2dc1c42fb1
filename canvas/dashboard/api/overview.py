"""The figures of the first page, the last hour for charts, the stream of figures, and the user of a request."""

import asyncio
import json
import time
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from canvas.dashboard.answers import finite, json_answer
from canvas.dashboard.context import context_of
from canvas.version import __version__

_EVERY = 1.0
"""Seconds between two messages of the stream."""
_LONGEST = 300.0
"""Seconds after which a stream ends; the page asks again, and has to be allowed to again."""


def overview(request: Request) -> Response:
    """The figures of the first page."""
    return json_answer(context_of(request).collector.overview())


def series(request: Request) -> Response:
    """The last hour by column."""
    return json_answer(context_of(request).collector.series.columns())


def session(request: Request) -> Response:
    """The user of this request, and the facts about the dashboard that its pages need."""
    context = context_of(request)
    return json_answer(
        {
            "user": request.scope.get("canvas_user") or None,
            "read_only": context.options.read_only,
            "auto_refresh": context.options.auto_refresh,
            "masked": list(context.options.mask),
            "app": context.app.main or "app",
            "version": __version__,
            "history": context.history is not None,
            "runs": context.app.driver.runs is not None,
        }
    )


async def stream(request: Request) -> Response:
    """The figures of the first page as server-sent events, once a second."""
    context = context_of(request)
    ends = time.monotonic() + request.scope.get("canvas_stream_seconds", _LONGEST)

    async def messages() -> AsyncIterator[str]:
        yield "retry: 2000\n\n"
        while not await request.is_disconnected():
            found = json.dumps(finite(context.collector.overview()), default=str)
            yield f"event: overview\ndata: {found}\n\n"
            if time.monotonic() >= ends:
                yield "event: again\ndata:\n\n"
                return
            await asyncio.sleep(_EVERY)

    return StreamingResponse(messages(), media_type="text/event-stream", headers={"x-accel-buffering": "no"})


def healthcheck(request: Request) -> Response:
    """``OK`` as long as the dashboard runs."""
    return Response("OK", media_type="text/plain")
