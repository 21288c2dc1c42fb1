"""redis-py's connections, with an error for a URL whose scheme is wrong about TLS."""

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
    MASTER_WITH_TLS,
    MASTER_WITHOUT_TLS,
    WITH_TLS,
    WITHOUT_TLS,
    answers_without_tls,
    expects_tls,
)


def _may_lack_tls(error: BaseException | None) -> bool:
    """Whether a server with which a TLS handshake ended in this error may not have TLS at all."""
    return isinstance(error, OSError) and not isinstance(error, ssl.SSLCertVerificationError)


class _Secured:
    """Over TLS."""

    _without_tls = WITHOUT_TLS

    def _wrap_socket_with_ssl(self: Any, sock: socket.socket) -> socket.socket:
        timeout = sock.gettimeout()
        sock.settimeout(ANSWER_EXPECTED_WITHIN if timeout is None else min(timeout, ANSWER_EXPECTED_WITHIN))
        wrap = super()._wrap_socket_with_ssl  # type: ignore[misc]
        try:
            wrapped: socket.socket = wrap(sock)
        except OSError as exc:
            if _may_lack_tls(exc) and answers_without_tls(self.host, self.port):
                raise redis.exceptions.RedisError(self._without_tls) from None
            if not isinstance(exc, TimeoutError):
                raise
            wrapped = wrap(redis.Connection._connect(self))  # type: ignore[no-untyped-call]
        wrapped.settimeout(timeout)
        return wrapped


class _SecuredAwaited:
    """Over TLS, on an event loop, where redis-py turns each error of ``_connect`` into that of a lost connection."""

    _without_tls = WITHOUT_TLS
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
                self._refusal = redis.exceptions.RedisError(self._without_tls)
                raise self._refusal
            await connecting
        finally:
            connecting.cancel()


class _PlainMaster:
    """Without TLS, to the master that sentinels name."""

    def on_connect_check_health(self: Any, check_health: bool = True) -> None:
        try:
            super().on_connect_check_health(check_health)  # type: ignore[misc]
        except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError):
            if expects_tls(self.host, self.port):
                raise redis.exceptions.RedisError(MASTER_WITH_TLS) from None
            raise


class _PlainAwaited:
    """Without TLS, on an event loop."""

    _with_tls = WITH_TLS

    async def on_connect_check_health(self: Any, check_health: bool = True) -> None:
        try:
            await super().on_connect_check_health(check_health)  # type: ignore[misc]
        except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError):
            if await asyncio.to_thread(expects_tls, self.host, self.port):
                raise redis.exceptions.RedisError(self._with_tls) from None
            raise


class SecuredConnection(_Secured, redis.SSLConnection):
    """A connection over TLS."""


class SecuredMasterConnection(_Secured, redis.sentinel.SentinelManagedSSLConnection):
    """A connection over TLS to the master that sentinels name."""

    _without_tls = MASTER_WITHOUT_TLS


class SecuredLoopConnection(_SecuredAwaited, redis.asyncio.SSLConnection):
    """A connection over TLS, on an event loop."""


class SecuredMasterLoopConnection(_SecuredAwaited, redis.asyncio.sentinel.SentinelManagedSSLConnection):
    """A connection over TLS to the master that sentinels name, on an event loop."""

    _without_tls = MASTER_WITHOUT_TLS


class PlainMasterConnection(_PlainMaster, redis.sentinel.SentinelManagedConnection):
    """A connection without TLS to the master that sentinels name."""


class PlainMasterLoopConnection(_PlainAwaited, redis.asyncio.sentinel.SentinelManagedConnection):
    """A connection without TLS to the master that sentinels name, on an event loop."""

    _with_tls = MASTER_WITH_TLS


class PlainLoopConnection(_PlainAwaited, redis.asyncio.Connection):
    """A connection without TLS, on an event loop."""
