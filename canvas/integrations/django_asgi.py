"""An ASGI application as a view of Django, under WSGI and under ASGI, for the users whom Django knows."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any, Protocol

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

UrlPatterns = tuple[list[Any], str, str]
"""A value that ``path()`` takes in the place of a view: patterns, the name of the application, the namespace."""


class ASGIApplication(Protocol):
    """An ASGI application."""

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None: ...


def is_staff(request: Any) -> bool:
    """Whether a request is of a user who may enter Django's admin."""
    return bool(request.user.is_active and request.user.is_staff)


def urls(application: ASGIApplication, name: str, allowed: Callable[[Any], bool]) -> UrlPatterns:
    """The patterns of an application for a URLconf: ``path("canvas/", urls(...))``.

    ``name``: of the namespace. ``allowed``: whether the user of a request may use the application; it is called on a
    thread that may query the database. The scope of a request has ``canvas_host_user``, the user's name, and
    ``canvas_host_csrf``, the name and the value of the header that Django's protection against forged requests expects;
    ``canvas_stream_seconds`` is 0 under WSGI, where a response that does not end would occupy a thread of the server.
    """
    from django.urls import re_path

    return [re_path(r"^(?P<rest>.*)\Z", _view(application, allowed), name="page")], name, name


def _view(application: ASGIApplication, allowed: Callable[[Any], bool]) -> Any:
    from asgiref.sync import sync_to_async
    from django.db.transaction import non_atomic_requests

    async def view(request: Any, rest: str) -> Any:
        checked = await sync_to_async(_checked)(request, allowed)
        if not isinstance(checked, dict):
            return checked
        exchange = _Exchange(application, {**_scope(request, rest), **checked}, request.body)
        return await sync_to_async(_with_cookie)(request, await exchange.response())

    return non_atomic_requests(view)


def _checked(request: Any, allowed: Callable[[Any], bool]) -> Any:
    """The fields of the scope that depend on the user, or the response that refuses the request."""
    from django.conf import settings
    from django.contrib.auth.views import redirect_to_login
    from django.core.exceptions import PermissionDenied
    from django.http import HttpResponse
    from django.http.request import HttpHeaders
    from django.middleware.csrf import get_token

    user = getattr(request, "user", None)
    if not allowed(request):
        if "text/html" not in request.headers.get("accept", ""):
            text = "Refused: sign in as a user who may use this page, and load it again."
            return HttpResponse(text, content_type="text/plain", status=403)
        if user is not None and not user.is_authenticated:
            return redirect_to_login(request.get_full_path())
        raise PermissionDenied
    protection = _protection()
    protection.process_request(request)
    if (refusal := protection.process_view(request, _checked, (), {})) is not None:
        return refusal
    header = HttpHeaders.parse_header_name(settings.CSRF_HEADER_NAME) or settings.CSRF_HEADER_NAME
    name = user.get_username() if user is not None else ""
    return {"canvas_host_user": name, "canvas_host_csrf": (header, get_token(request))}


def _protection() -> Any:
    """Django's protection against forged requests; a site may have it among its middleware or not."""
    from django.middleware.csrf import CsrfViewMiddleware

    return CsrfViewMiddleware(lambda request: request)


def _with_cookie(request: Any, response: Any) -> Any:
    return _protection().process_response(request, response)


def _scope(request: Any, rest: str) -> dict[str, Any]:
    """The ASGI scope of a request to the path ``rest`` below the view's own path."""
    headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in request.headers.items()]
    return {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1",
        "method": request.method, "scheme": request.scheme, "path": request.path,
        "root_path": request.path.removesuffix(rest).rstrip("/"),
        "query_string": request.META.get("QUERY_STRING", "").encode("latin-1"), "headers": headers,
        "client": (request.META.get("REMOTE_ADDR") or "", 0), "server": None,
        **({} if hasattr(request, "scope") else {"canvas_stream_seconds": 0.0}),
    }  # fmt: skip


class _Exchange:
    """One request to the application, and its response as Django's."""

    def __init__(self, application: ASGIApplication, scope: dict[str, Any], body: bytes) -> None:
        self._application = application
        self._scope = scope
        self._body: bytes | None = body
        self._left = asyncio.Event()
        self._sent: asyncio.Queue[Message | None] = asyncio.Queue(1)

    async def response(self) -> Any:
        """The response. One of server-sent events is passed on as it comes; any other is read to its end."""
        from django.http import HttpResponse, StreamingHttpResponse

        task = asyncio.create_task(self._run())
        start = await self._sent.get()
        if start is None:
            await task
            raise RuntimeError(f"{self._scope['path']}: the application sent no response")
        fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in start["headers"]]
        kind = next((value for name, value in fields if name.lower() == "content-type"), None)
        pieces = self._pieces(task)
        streamed = (kind or "").startswith("text/event-stream") and "canvas_stream_seconds" not in self._scope
        response: Any
        if streamed:
            response = StreamingHttpResponse(pieces, content_type=kind, status=start["status"])
        else:
            content = b"".join([piece async for piece in pieces])
            response = HttpResponse(content, content_type=kind, status=start["status"])
        for name, value in fields:
            if name.lower() not in ("content-type", "content-length"):
                response.headers[name] = value
        return response

    async def _run(self) -> None:
        try:
            await self._application(self._scope, self._receive, self._sent.put)
        finally:
            if not self._left.is_set():
                await self._sent.put(None)

    async def _receive(self) -> Message:
        if self._body is None:
            await self._left.wait()
            return {"type": "http.disconnect"}
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}

    async def _pieces(self, task: "asyncio.Task[None]") -> AsyncIterator[bytes]:
        try:
            while (message := await self._sent.get()) is not None:
                yield message.get("body", b"")
            await task
        finally:
            self._left.set()
            task.cancel()
