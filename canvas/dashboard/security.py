"""Who may use the dashboard, and from where: checked before anything else."""

import base64
import binascii
import hmac
import ipaddress
import secrets
from http.cookies import CookieError, SimpleCookie
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from canvas.dashboard.options import DashboardOptions

COOKIE = "canvas_csrf"
TOKEN_HEADER = "x-canvas-csrf"
_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_OPEN = frozenset({"/healthcheck"})
"""Paths that are answered without authentication: they show nothing."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; base-uri 'self'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class Guard:
    """Refuses requests of people who may not use the dashboard, and actions that a foreign page asks for."""

    def __init__(self, inner: ASGIApp, options: DashboardOptions) -> None:
        self._inner = inner
        self._options = options
        self._pairs = [pair.encode() for pair in options.basic_auth]
        self._networks = options.networks()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        headers = Headers(scope=scope)
        token = None if "canvas_host_csrf" in scope else _cookie(headers) or secrets.token_urlsafe(24)
        refusal = self._refusal(scope, headers)

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                found = MutableHeaders(raw=message.setdefault("headers", []))
                for name, value in _HEADERS.items():
                    found[name] = value
                found.setdefault("cache-control", "no-store")
                if token is not None and _cookie(headers) != token:
                    found.append("set-cookie", _set_cookie(scope, token))
            await send(message)

        await (refusal or self._inner)(scope, receive, sending)

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if path in _OPEN:
            return None
        user = self._user(scope, headers)
        if user is None:
            if self._pairs:
                return PlainTextResponse("Unauthorized", 401, {"www-authenticate": 'Basic realm="canvas"'})
            if self._options.user_header:
                return _refused(f"the proxy did not name a user in the header {self._options.user_header}")
            return _refused(
                "without authentication the dashboard answers programs on its own machine, under the name localhost, "
                "only. Give it basic_auth (--basic-auth), user_header with trusted_proxies, or host_auth where the "
                "application around it authenticates its users"
            )
        scope["canvas_user"] = user
        if scope["method"] in _SAFE:
            return None
        if self._options.read_only:
            return PlainTextResponse("Read only mode is enabled", 403)
        return None if "canvas_host_csrf" in scope or _is_own(headers) else _refused(
            f"an action asked for by a browser needs the header {TOKEN_HEADER} with the value of the cookie {COOKIE}"
        )  # fmt: skip

    def _user(self, scope: Scope, headers: Headers) -> str | None:
        """The user's name; empty without authentication; ``None``: the request is refused."""
        options, client = self._options, scope.get("client")
        peer = client[0] if client else ""
        if options.user_header and _is_in(peer, self._networks):
            return headers.get(options.user_header) or self._basic(headers)
        if self._pairs:
            return self._basic(headers)
        if options.user_header:
            return None
        if options.host_auth:
            return str(scope.get("canvas_host_user", ""))
        host = headers.get("host", "").lower()
        name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
        local = _is_loopback(peer) and "x-forwarded-for" not in headers and "forwarded" not in headers
        return "" if local and name in _LOOPBACK_NAMES else None

    def _basic(self, headers: Headers) -> str | None:
        scheme, _, coded = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            given = base64.b64decode(coded, validate=True)
        except (binascii.Error, ValueError):
            return None
        fits = [hmac.compare_digest(given, pair) for pair in self._pairs]
        return given.partition(b":")[0].decode(errors="replace") if any(fits) else None


def _is_own(headers: Headers) -> bool:
    """Whether an action was asked for by the dashboard's own page, or by a program that is not a browser."""
    token = _cookie(headers)
    if token is not None and hmac.compare_digest(headers.get(TOKEN_HEADER, "").encode(), token.encode()):
        return True
    return not any(name in headers for name in ("origin", "referer", "sec-fetch-site"))


def _cookie(headers: Headers) -> str | None:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return None
    return found.value if found is not None and 16 <= len(found.value) <= 100 else None


def _set_cookie(scope: Scope, token: str) -> str:
    path = scope.get("root_path", "") or "/"
    secure = "; Secure" if scope.get("scheme") == "https" else ""
    return f"{COOKIE}={token}; Path={path}; SameSite=Strict{secure}"


def _refused(text: str) -> Response:
    return PlainTextResponse(f"Refused: {text}.", 403)


def _is_loopback(peer: str) -> bool:
    """Whether a peer is on this machine. One without an address came through a local socket."""
    if not peer:
        return True
    try:
        return ipaddress.ip_address(peer).is_loopback
    except ValueError:
        return False


def _is_in(peer: str, networks: list[Any]) -> bool:
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return False
    return any(address in network for network in networks)
