"""Answers of the API: JSON that any reader accepts, and errors as JSON."""

import json
import math
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from canvas.errors import BrokerError, CanvasError, RunLost
from canvas.wire.moments import aware

LARGEST_BODY = 1_000_000
"""Bytes of a request's body that are read."""


class ApiError(Exception):
    """An answer that says what is wrong with a request."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def json_answer(value: Any, status: int = 200) -> Response:
    """``value`` as JSON in ASCII; numbers that JSON does not have are null, other objects are text."""
    text = json.dumps(finite(value), default=str)
    return Response(text, status, media_type="application/json")


def finite(value: Any) -> Any:
    """``value`` with None in place of the numbers that JSON does not have."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): finite(inner) for key, inner in value.items()}
    return [finite(inner) for inner in value] if isinstance(value, list | tuple) else value


async def on_error(request: Request, exc: Exception) -> Response:
    """The answer for an exception of the API."""
    if isinstance(exc, ApiError):
        return json_answer({"error": str(exc)}, exc.status)
    if isinstance(exc, RunLost):
        return json_answer({"error": str(exc)}, 404)
    return json_answer({"error": str(exc)}, 503 if isinstance(exc, BrokerError) else 409)


ERRORS = (ApiError, CanvasError)


async def on_wrong_method(request: Request, exc: Exception) -> Response:
    """The answer for a method that a path does not have: without a body, as in Flower."""
    return Response(status_code=405, headers=getattr(exc, "headers", None))


async def bytes_of(request: Request) -> bytes:
    """A request's body. Raises ApiError for one that is too long."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > LARGEST_BODY:
            raise ApiError(413, f"the body has more than {LARGEST_BODY:,} bytes")
    return bytes(body)


async def body_of(request: Request) -> dict[str, Any]:
    """The JSON object in a request's body; empty without one. Raises ApiError."""
    body = await bytes_of(request)
    try:
        found = json.loads(body or b"{}")
    except ValueError as exc:
        raise ApiError(400, f"the body is not JSON: {exc}") from exc
    if not isinstance(found, dict):
        raise ApiError(400, "the body is not a JSON object")
    return found


def acting(act: Callable[[Request, dict[str, Any]], Response]) -> Callable[[Request], Awaitable[Response]]:
    """The endpoint that reads a request's body and calls ``act`` on a thread, because actions wait for servers."""

    @wraps(act)
    async def endpoint(request: Request) -> Response:
        body = await body_of(request)
        return await run_in_threadpool(act, request, body)

    return endpoint


def number_of(given: str | None, name: str, default: int, most: int) -> int:
    """A whole number of a query, 0 or more and at most ``most``. Raises ApiError."""
    if given is None or given == "":
        return default
    if not given.isdigit():
        raise ApiError(400, f"{name}: expected a whole number; got {given[:50]!r}")
    return min(int(given[:12]), most)


def moment_of(given: str | None, name: str) -> float | None:
    """A unix time of a query, or ISO 8601. Raises ApiError."""
    if not given:
        return None
    try:
        return float(given)
    except ValueError:
        pass
    from datetime import datetime

    try:
        moment = datetime.fromisoformat(given)
    except ValueError:
        raise ApiError(400, f"{name}: expected a unix time or ISO 8601; got {given[:50]!r}") from None
    return aware(moment).timestamp()
