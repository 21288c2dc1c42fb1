"""Celery's settings that have no effect in canvas, with the reason: a worker logs those that its app sets."""

from typing import Final

from canvas.config.config import Config
from canvas.config.settings import SETTINGS

_ELSEWHERE = "results are kept in Redis, in SQL, in Memcached or in files"
_OF_THE_URL = frozenset({"redis_db", "redis_host", "redis_port", "redis_username", "redis_password", "database_url"})
_IN_THE_URL = "only a result_backend without a URL reads it"
_AMQP = "heartbeats are checked when they are sent; no delayed message stays with a worker"
_BY_PREFIX: Final = {
    "arangodb": _ELSEWHERE,
    "azureblockblob": _ELSEWHERE,
    "cassandra": _ELSEWHERE,
    "cosmosdbsql": _ELSEWHERE,
    "couchbase": _ELSEWHERE,
    "elasticsearch": _ELSEWHERE,
    "gcs": _ELSEWHERE,
    "mongodb": _ELSEWHERE,
    "s3": _ELSEWHERE,
}
"""Reasons by the beginning of a setting's name."""
_ALWAYS_RETRIED = "requests that fail because a server is unreachable are always retried, in a worker without end"
_POOL = "connections are opened as they are needed, and kept"
_URL = "set broker_url"
_URL_COUNTS = "broker_url is set, and counts"
_COUNTED = "chords are counted in one step with the results: no task waits for them"
_RABBITMQ_QUEUES = "it is for queues in RabbitMQ"
_OF_RABBITMQ: Final = (
    "broker_native_delayed_delivery_queue_type", "control_queue_", "event_queue_", "result_persistent",
)  # fmt: skip
"""The beginnings of the names of settings that have no effect with another broker."""
_LEASES = "leases take its place: see worker_lease_ttl and task_max_deliveries"
_NO_BEAT_CONTROL = "use canvas beat --enable-remote-control"
_OWN = "canvas has its own implementation"
_NAMES: Final = {
    "database_short_lived_sessions": "connections are kept in a pool: see database_engine_options",
    "beat_sync_every": "the state of an entry is stored with each tick",
    "beat_remote_control_max_tick_age": _NO_BEAT_CONTROL,
    "broker_transport": _URL,
    "broker_host": _URL,
    "broker_port": _URL,
    "broker_user": _URL,
    "broker_password": _URL,
    "broker_vhost": _URL,
    "broker_channel_error_retry": _ALWAYS_RETRIED,
    "broker_failover_strategy": "one server is used; for failover set a sentinel:// or redis+cluster:// URL",
    "broker_heartbeat_checkrate": _AMQP,
    "broker_pool_limit": _POOL,
    "broker_pool_acquire_timeout": _POOL,
    "event_serializer": "events are sent as JSON",
    "redis_retry_on_timeout": _ALWAYS_RETRIED,
    "result_cache_max": "each result is kept in its AsyncResult only, and there is no cache of them",
    "result_exchange": _ELSEWHERE,
    "result_exchange_type": _ELSEWHERE,
    "result_chord_join_timeout": _COUNTED,
    "result_backend_always_retry": _ALWAYS_RETRIED,
    "result_backend_max_retries": _ALWAYS_RETRIED,
    "result_backend_base_sleep_between_retries_ms": _ALWAYS_RETRIED,
    "result_backend_max_sleep_between_retries_ms": _ALWAYS_RETRIED,
    "worker_detect_quorum_queues": _AMQP,
    "task_retry_on_worker_lost": _LEASES,
    "worker_deduplicate_successful_tasks": _LEASES,
    "worker_cancel_long_running_tasks_on_connection_loss": _LEASES,
    "worker_lost_wait": _LEASES,
    "worker_state_db": "revoked ids are kept in the broker",
    "worker_eta_task_limit": "delayed tasks wait in the broker",
    "worker_enable_soft_shutdown_on_idle": "delayed tasks wait in the broker",
    "worker_enable_prefetch_count_reduction": "a worker holds about 50 ms of work",
    "task_remote_tracebacks": "a remote traceback is a note of the exception",
    "worker_agent": _OWN,
    "worker_autoscaler": _OWN,
    "worker_consumer": _OWN,
    "worker_timer": _OWN,
    "worker_timer_precision": _OWN,
    "worker_pool_putlocks": _OWN,
    "worker_pool_start_method": "processes are forked",
}


def ignored_reason(name: str) -> str | None:
    """Why a setting has no effect; ``None`` for one that has."""
    return _NAMES.get(name) or _BY_PREFIX.get(name.partition("_")[0])


def ignored_settings(conf: Config) -> dict[str, str]:
    """The settings that were given another value than Celery's default, and have no effect: why, by name."""
    given = {name: value for name, value in conf.changed().items() if value != SETTINGS[name].default}
    found = {name: why for name in sorted(given) if (why := ignored_reason(name)) is not None}
    if conf.broker_url:
        others = (name for name in ("broker_read_url", "broker_write_url") if name in given)
        found |= {name: _URL_COUNTS for name in others if conf[name] != conf.broker_url}
    if "://" in str(conf.result_backend or "://"):
        found |= {name: _IN_THE_URL for name in sorted(given) if name in _OF_THE_URL}
    if not (conf.broker_url or "").startswith(("amqp", "pyamqp")):
        found |= {name: _RABBITMQ_QUEUES for name in sorted(given) if name.startswith(_OF_RABBITMQ)}
    return found
