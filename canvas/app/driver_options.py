"""The options that an app's settings give to its driver."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from canvas.config.config import Config
from canvas.config.lifetimes import whole_seconds
from canvas.wire.codecs import named

if TYPE_CHECKING:
    from canvas.result.backend_classes import ResultTarget

_MIN_SOCKET_TIMEOUT: Final = 5.0
"""Seconds that a connection waits for an answer at least."""
_MAX_SOCKET_TIMEOUT: Final = 30.0
_SOCKET_SETTINGS: Final = ("socket_timeout", "socket_connect_timeout", "socket_keepalive", "max_connections")
"""Settings of the results' connections, after ``redis_``."""
_AMQP_URLS: Final = ("amqp", "pyamqp")
_MAX_HEARTBEAT: Final = 60.0
"""Seconds between two heartbeats of a worker's connection to RabbitMQ, at most."""
_REDIS_URLS: Final = ("redis", "rediss", "unix", "sentinel")
_SQL_URLS: Final = ("db+", "sqla+", "django-db")


def broker_options(conf: Config, url: str) -> dict[str, Any]:
    """The options of the broker at ``url``; those of ``broker_transport_options`` come first."""
    found: dict[str, Any] = {"ssl": conf.broker_use_ssl or None, **_answer_within(conf)}
    timeout = conf.changed().get("broker_connection_timeout")
    if timeout is not None:
        found["socket_connect_timeout"] = float(timeout)
    if url.startswith(_AMQP_URLS):
        found |= _amqp_options(conf)
    return {**found, **conf.broker_transport_options}


def _amqp_options(conf: Config) -> dict[str, Any]:
    return {
        "connect_timeout": conf.broker_connection_timeout, "login_method": conf.broker_login_method,
        "heartbeat": min(conf.broker_heartbeat or 0, _MAX_HEARTBEAT),
        "delayed_queue_type": conf.broker_native_delayed_delivery_queue_type,
        "control_queue": {
            "ttl": conf.control_queue_ttl, "expires": conf.control_queue_expires,
            "exclusive": conf.control_queue_exclusive, "durable": conf.control_queue_durable,
        },
        "event_queue": {
            "ttl": conf.event_queue_ttl, "expires": conf.event_queue_expires,
            "exclusive": conf.event_queue_exclusive, "durable": conf.event_queue_durable,
        },
        "event_queue_prefix": conf.event_queue_prefix,
    }  # fmt: skip


def result_options(
    conf: Config, target: "ResultTarget", database_settings: Sequence[str], reply_queue: Mapping[str, Any]
) -> dict[str, Any]:
    """The options of the results' ``target``; for Redis those of ``result_backend_transport_options`` come first.

    ``database_settings``: the settings of a store in SQL. ``reply_queue``: the fields of RpcOptions about the queue of
    this process.
    """
    url = target.url or ""
    if target.is_rpc:
        codec = named(conf.result_serializer)
        return {
            **reply_queue, "content_type": codec.content_type, "content_encoding": codec.content_encoding,
            "persistent": bool(conf.result_persistent), "expires": whole_seconds(conf.result_expires) or None,
        }  # fmt: skip
    if url.startswith(_REDIS_URLS):
        changed = conf.changed()
        sockets = {name: changed[f"redis_{name}"] for name in _SOCKET_SETTINGS if f"redis_{name}" in changed}
        own = {"ssl": conf.redis_backend_use_ssl, **_answer_within(conf), **sockets}
        return {**own, **conf.result_backend_transport_options}
    found = {**conf.result_backend_transport_options, "serializer": conf.result_serializer}
    found["expires"] = lambda: whole_seconds(conf.result_expires) or None
    if url.startswith(_SQL_URLS):
        found["extended"] = conf.result_extended
        return found | {name: getattr(conf, name) for name in database_settings}
    return found | {"cache_backend": conf.cache_backend, "cache_backend_options": conf.cache_backend_options}


def state_options(conf: Config, database_settings: Sequence[str]) -> dict[str, Any]:
    """The options of the server of ``canvas_state``."""
    in_sql = (conf.canvas_state or "").startswith(_SQL_URLS)
    return {name: getattr(conf, name) for name in database_settings} if in_sql else {}


def _answer_within(conf: Config) -> dict[str, float]:
    """A connection that leads nowhere is given up in time for a heartbeat on another."""
    return {"socket_timeout": min(_MAX_SOCKET_TIMEOUT, max(_MIN_SOCKET_TIMEOUT, conf.worker_lease_ttl / 3))}
