"""redis-py's connections, which say at once that the scheme of a server's URL is wrong about TLS."""

import asyncio
import socket
import ssl
from typing import Any

import redis
import redis.asyncio
import redis.asyncio.sentinel
import redis.exceptions
import redis.sentinel

from canvas.drivers.redis.connection.tls import (
    ANSWER_EXPECTED_WITHIN,
    WITH_TLS,
    WITHOUT_TLS,
    answers_without_tls,
    expects_tls,
)


def _may_lack_tls(error: BaseException | None) -> bool:
    """Whether a server that a TLS handshake failed with so may not know TLS at all."""
    return isinstance(error, OSError) and not isinstance(error, ssl.SSLCertVerificationError)


class _Secured:
    """Over TLS."""

    def _wrap_socket_with_ssl(self: Any, sock: socket.socket) -> socket.socket:
        timeout = sock.gettimeout()
        sock.settimeout(ANSWER_EXPECTED_WITHIN if timeout is None else min(timeout, ANSWER_EXPECTED_WITHIN))
        wrap = super()._wrap_socket_with_ssl  # type: ignore[misc]
        try:
            wrapped: socket.socket = wrap(sock)
        except OSError as exc:
            if _may_lack_tls(exc) and answers_without_tls(self.host, self.port):
                raise redis.exceptions.RedisError(WITHOUT_TLS) from None
            if not isinstance(exc, TimeoutError):
                raise
            wrapped = wrap(redis.Connection._connect(self))  # type: ignore[no-untyped-call]
        wrapped.settimeout(timeout)
        return wrapped


class _SecuredAwaited:
    """Over TLS, on an event loop, where redis-py makes errors of every class of ``_connect`` to lost connections."""

    _refusal: redis.exceptions.RedisError | None = None
    """Why the server cannot be used with this URL, so that trying again does not help."""

    async def connect(self) -> None:
        try:
            await super().connect()  # type: ignore[misc]
        except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError):
            if self._refusal is not None:
                raise self._refusal from None
            raise

    async def _connect(self: Any) -> None:
        if self._refusal is not None:
            raise self._refusal
        connecting = asyncio.ensure_future(super()._connect())  # type: ignore[misc]
        try:
            done, _ = await asyncio.wait({connecting}, timeout=ANSWER_EXPECTED_WITHIN)
            error = connecting.exception() if done else TimeoutError()
            if _may_lack_tls(error) and await asyncio.to_thread(answers_without_tls, self.host, self.port):
                self._refusal = redis.exceptions.RedisError(WITHOUT_TLS)
                raise self._refusal
            await connecting
        finally:
            connecting.cancel()


class _PlainAwaited:
    """Without TLS, on an event loop."""

    async def on_connect_check_health(self: Any, check_health: bool = True) -> None:
        try:
            await super().on_connect_check_health(check_health)  # type: ignore[misc]
        except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError):
            if await asyncio.to_thread(expects_tls, self.host, self.port):
                raise redis.exceptions.RedisError(WITH_TLS) from None
            raise


class SecuredConnection(_Secured, redis.SSLConnection):
    """A connection over TLS."""


class SecuredMasterConnection(_Secured, redis.sentinel.SentinelManagedSSLConnection):
    """A connection over TLS to the master that sentinels name."""


class SecuredLoopConnection(_SecuredAwaited, redis.asyncio.SSLConnection):
    """A connection over TLS, on an event loop."""


class SecuredMasterLoopConnection(_SecuredAwaited, redis.asyncio.sentinel.SentinelManagedSSLConnection):
    """A connection over TLS to the master that sentinels name, on an event loop."""


class PlainLoopConnection(_PlainAwaited, redis.asyncio.Connection):
    """A connection without TLS, on an event loop."""
