"""A web application that starts tasks and streams their progress: ``uvicorn web:web``."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException
from fastapi.responses import StreamingResponse
from tasks import app, report

from canvas import AsyncResult, Canvas
from canvas.errors import OperationalError

LOOK_EVERY = 0.2
"""Seconds between two reads of a task's state."""


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Close the connections of canvas when the application ends."""
    yield
    await asyncio.to_thread(app.close)


def canvas_app() -> Canvas:
    """The app of canvas; tests may override this dependency."""
    return app


web = FastAPI(lifespan=lifespan)
Tasks = Annotated[Canvas, Depends(canvas_app)]


@web.post("/reports", status_code=202)
async def start(pages: int) -> dict[str, str]:
    """Start a report. It answers 503 while the broker is away."""
    try:
        result = await report.adelay(pages)
    except OperationalError as exc:
        raise HTTPException(503, "the queue does not answer; try again") from exc
    return {"id": result.id}


@web.get("/reports/{task_id}")
async def wait(task_id: str, tasks: Tasks) -> dict[str, str]:
    """The report, within ten seconds."""
    result: AsyncResult[str] = tasks.AsyncResult(task_id)
    try:
        return {"report": await result.aget(timeout=10)}
    except TimeoutError as exc:
        raise HTTPException(504, "the report is not ready") from exc


@web.get("/reports/{task_id}/events")
async def events(task_id: str, tasks: Tasks) -> StreamingResponse:
    """The progress of a report, as server-sent events; the stream ends with the report."""
    return StreamingResponse(_progress(tasks, task_id), media_type="text/event-stream")


async def _progress(tasks: Canvas, task_id: str) -> AsyncIterator[str]:
    result, seen = tasks.AsyncResult(task_id), None
    while True:
        found = await asyncio.to_thread(lambda: (result.state, result.info))
        if found != seen:
            seen = found
            yield f"event: {found[0]}\ndata: {json.dumps(found[1], default=str)}\n\n"
        if result.ready():
            return
        await asyncio.sleep(LOOK_EVERY)
