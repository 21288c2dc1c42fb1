"""Every setting: its kind, its default, and the name it had in Celery's upper-case days.

All of Celery 5.7's settings are here, so that an existing configuration is accepted whole. Settings of parts that
canvas does not have are read and have no effect. The last lines are canvas' own.
"""

import math
from collections.abc import Iterable
from datetime import timedelta
from typing import Any, Final, NamedTuple

_LIKE = 0.85
"""How much a name must resemble a setting's (difflib's ratio) to be taken for a misspelling of it."""


class Setting(NamedTuple):
    """One setting. ``kind`` names a check in ``canvas.config.kinds``."""

    kind: str
    default: Any
    old: str = ""


SETTINGS: Final[dict[str, Setting]] = {
    "accept_content": Setting("serializers", ("json",), "CELERY_ACCEPT_CONTENT"),
    "result_accept_content": Setting("serializers", None),
    "enable_utc": Setting("bool", True),
    "imports": Setting("names", (), "CELERY_IMPORTS"),
    "include": Setting("names", (), "CELERY_INCLUDE"),
    "timezone": Setting("timezone", None, "CELERY_TIMEZONE"),
    "beat_enable_remote_control": Setting("bool", False, "CELERYBEAT_ENABLE_REMOTE_CONTROL"),
    "beat_remote_control_max_tick_age": Setting("float", None, "CELERYBEAT_REMOTE_CONTROL_MAX_TICK_AGE"),
    "beat_max_loop_interval": Setting("float", 0, "CELERYBEAT_MAX_LOOP_INTERVAL"),
    "beat_schedule": Setting("dict", {}, "CELERYBEAT_SCHEDULE"),
    "beat_scheduler": Setting("class", "canvas.beat:PersistentScheduler", "CELERYBEAT_SCHEDULER"),
    "beat_schedule_filename": Setting("text", "celerybeat-schedule", "CELERYBEAT_SCHEDULE_FILENAME"),
    "beat_sync_every": Setting("int", 0, "CELERYBEAT_SYNC_EVERY"),
    "beat_cron_starting_deadline": Setting("int", None, "CELERYBEAT_CRON_STARTING_DEADLINE"),
    "broker_url": Setting("urls", None),
    "broker_read_url": Setting("urls", None),
    "broker_write_url": Setting("urls", None),
    "broker_transport": Setting("text", None),
    "broker_shards": Setting("dict", {}),
    "broker_transport_options": Setting("dict", {}),
    "broker_connection_timeout": Setting("float", 4),
    "broker_connection_retry": Setting("bool", True),
    "broker_connection_retry_on_startup": Setting("bool", None),
    "broker_connection_max_retries": Setting("any", 100),
    "broker_channel_error_retry": Setting("bool", False),
    "broker_failover_strategy": Setting("text", None),
    "broker_heartbeat": Setting("seconds", 120),
    "broker_heartbeat_checkrate": Setting("int", 3.0),
    "broker_login_method": Setting("text", None),
    "broker_native_delayed_delivery_queue_type": Setting("text", "quorum"),
    "broker_pool_limit": Setting("int", 10),
    "broker_pool_acquire_timeout": Setting("float", None),
    "broker_use_ssl": Setting("any", False),
    "broker_host": Setting("text", None),
    "broker_port": Setting("int", None),
    "broker_user": Setting("text", None),
    "broker_password": Setting("text", None),
    "broker_vhost": Setting("text", None),
    "cache_backend": Setting("text", None, "CELERY_CACHE_BACKEND"),
    "cache_backend_options": Setting("dict", {}, "CELERY_CACHE_BACKEND_OPTIONS"),
    "cassandra_entry_ttl": Setting("float", None),
    "cassandra_keyspace": Setting("text", None),
    "cassandra_port": Setting("text", None),
    "cassandra_read_consistency": Setting("text", None),
    "cassandra_servers": Setting("names", None),
    "cassandra_bundle_path": Setting("text", None),
    "cassandra_table": Setting("text", None),
    "cassandra_write_consistency": Setting("text", None),
    "cassandra_auth_provider": Setting("text", None),
    "cassandra_auth_kwargs": Setting("text", None),
    "cassandra_options": Setting("dict", {}),
    "s3_access_key_id": Setting("text", None),
    "s3_secret_access_key": Setting("text", None),
    "s3_bucket": Setting("text", None),
    "s3_base_path": Setting("text", None),
    "s3_endpoint_url": Setting("text", None),
    "s3_region": Setting("text", None),
    "azureblockblob_container_name": Setting("text", "celery"),
    "azureblockblob_retry_initial_backoff_sec": Setting("int", 2),
    "azureblockblob_retry_increment_base": Setting("int", 2),
    "azureblockblob_retry_max_attempts": Setting("int", 3),
    "azureblockblob_base_path": Setting("text", ""),
    "azureblockblob_connection_timeout": Setting("int", 20),
    "azureblockblob_read_timeout": Setting("int", 120),
    "gcs_bucket": Setting("text", None),
    "gcs_project": Setting("text", None),
    "gcs_base_path": Setting("text", ""),
    "gcs_ttl": Setting("float", 0),
    "control_queue_ttl": Setting("float", 300.0),
    "control_queue_expires": Setting("float", 10.0),
    "control_queue_exclusive": Setting("bool", True),
    "control_queue_durable": Setting("bool", False),
    "control_exchange": Setting("text", "celery"),
    "couchbase_backend_settings": Setting("dict", None, "CELERY_COUCHBASE_BACKEND_SETTINGS"),
    "arangodb_backend_settings": Setting("dict", None, "CELERY_ARANGODB_BACKEND_SETTINGS"),
    "mongodb_backend_settings": Setting("dict", None, "CELERY_MONGODB_BACKEND_SETTINGS"),
    "cosmosdbsql_database_name": Setting("text", "celerydb"),
    "cosmosdbsql_collection_name": Setting("text", "celerycol"),
    "cosmosdbsql_consistency_level": Setting("text", "Session"),
    "cosmosdbsql_max_retry_attempts": Setting("int", 9),
    "cosmosdbsql_max_retry_wait_time": Setting("int", 30),
    "event_queue_expires": Setting("float", 60.0, "CELERY_EVENT_QUEUE_EXPIRES"),
    "event_queue_ttl": Setting("float", 5.0, "CELERY_EVENT_QUEUE_TTL"),
    "event_queue_prefix": Setting("text", "celeryev", "CELERY_EVENT_QUEUE_PREFIX"),
    "event_queue_exclusive": Setting("bool", True, "CELERY_EVENT_QUEUE_EXCLUSIVE"),
    "event_queue_durable": Setting("bool", False, "CELERY_EVENT_QUEUE_DURABLE"),
    "event_serializer": Setting("text", "json", "CELERY_EVENT_SERIALIZER"),
    "event_exchange": Setting("text", "celeryev", "CELERY_EVENT_EXCHANGE"),
    "redis_backend_use_ssl": Setting("any", None, "CELERY_REDIS_BACKEND_USE_SSL"),
    "redis_db": Setting("any", None, "CELERY_REDIS_DB"),
    "redis_host": Setting("text", None, "CELERY_REDIS_HOST"),
    "redis_max_connections": Setting("count", None, "CELERY_REDIS_MAX_CONNECTIONS"),
    "redis_username": Setting("text", None, "CELERY_REDIS_USERNAME"),
    "redis_password": Setting("text", None, "CELERY_REDIS_PASSWORD"),
    "redis_port": Setting("count", None, "CELERY_REDIS_PORT"),
    "redis_socket_timeout": Setting("seconds", 120.0, "CELERY_REDIS_SOCKET_TIMEOUT"),
    "redis_socket_connect_timeout": Setting("seconds", None, "CELERY_REDIS_SOCKET_CONNECT_TIMEOUT"),
    "redis_retry_on_timeout": Setting("bool", False, "CELERY_REDIS_RETRY_ON_TIMEOUT"),
    "redis_socket_keepalive": Setting("bool", False, "CELERY_REDIS_SOCKET_KEEPALIVE"),
    "result_backend": Setting("backend", None, "CELERY_RESULT_BACKEND"),
    "result_cache_max": Setting("int", -1, "CELERY_MAX_CACHED_RESULTS"),
    "result_compression": Setting("text", None, "CELERY_RESULT_COMPRESSION"),
    "result_exchange": Setting("text", "celeryresults", "CELERY_RESULT_EXCHANGE"),
    "result_exchange_type": Setting("text", "direct", "CELERY_RESULT_EXCHANGE_TYPE"),
    "result_expires": Setting("duration", timedelta(days=1), "CELERY_TASK_RESULT_EXPIRES"),
    "result_chord_expires": Setting("duration", None, "CELERY_RESULT_CHORD_EXPIRES"),
    "result_failure_expires": Setting("duration", None, "CELERY_RESULT_FAILURE_EXPIRES"),
    "result_persistent": Setting("bool", None, "CELERY_RESULT_PERSISTENT"),
    "result_extended": Setting("bool", False, "CELERY_RESULT_EXTENDED"),
    "result_serializer": Setting("text", "json", "CELERY_RESULT_SERIALIZER"),
    "result_backend_transport_options": Setting("dict", {}, "CELERY_RESULT_BACKEND_TRANSPORT_OPTIONS"),
    "result_chord_retry_interval": Setting("float", 1.0, "CELERY_RESULT_CHORD_RETRY_INTERVAL"),
    "result_chord_unlock": Setting("bool", False),
    "result_chord_join_timeout": Setting("float", 3.0, "CELERY_RESULT_CHORD_JOIN_TIMEOUT"),
    "result_backend_max_sleep_between_retries_ms": Setting(
        "int", 10000, "CELERY_RESULT_BACKEND_MAX_SLEEP_BETWEEN_RETRIES_MS"
    ),
    "result_backend_max_retries": Setting("float", math.inf, "CELERY_RESULT_BACKEND_MAX_RETRIES"),
    "result_backend_base_sleep_between_retries_ms": Setting(
        "int", 10, "CELERY_RESULT_BACKEND_BASE_SLEEP_BETWEEN_RETRIES_MS"
    ),
    "result_backend_always_retry": Setting("bool", False, "CELERY_RESULT_BACKEND_ALWAYS_RETRY"),
    "elasticsearch_retry_on_timeout": Setting("bool", None, "CELERY_ELASTICSEARCH_RETRY_ON_TIMEOUT"),
    "elasticsearch_max_retries": Setting("int", None, "CELERY_ELASTICSEARCH_MAX_RETRIES"),
    "elasticsearch_timeout": Setting("float", None, "CELERY_ELASTICSEARCH_TIMEOUT"),
    "elasticsearch_save_meta_as_text": Setting("bool", True, "CELERY_ELASTICSEARCH_SAVE_META_AS_TEXT"),
    "security_certificate": Setting("text", None, "CELERY_SECURITY_CERTIFICATE"),
    "security_cert_store": Setting("text", None, "CELERY_SECURITY_CERT_STORE"),
    "security_key": Setting("text", None, "CELERY_SECURITY_KEY"),
    "security_key_password": Setting("any", None, "CELERY_SECURITY_KEY_PASSWORD"),
    "security_digest": Setting("text", "sha256", "CELERY_SECURITY_DIGEST"),
    "database_url": Setting("text", None, "CELERY_RESULT_DBURI"),
    "database_engine_options": Setting(
        "dict", {"pool_pre_ping": True, "pool_recycle": 3600}, "CELERY_RESULT_ENGINE_OPTIONS"
    ),
    "database_engine_callback": Setting("any", None),
    "database_short_lived_sessions": Setting("bool", False, "CELERY_RESULT_DB_SHORT_LIVED_SESSIONS"),
    "database_table_schemas": Setting("dict", None),
    "database_table_names": Setting("dict", None, "CELERY_RESULT_DB_TABLENAMES"),
    "database_create_tables_at_setup": Setting("bool", True),
    "task_acks_late": Setting("bool", True, "CELERY_ACKS_LATE"),
    "task_acks_on_failure_or_timeout": Setting("bool", True, "CELERY_ACKS_ON_FAILURE_OR_TIMEOUT"),
    "task_acks_on_failure": Setting("bool", None, "CELERY_ACKS_ON_FAILURE"),
    "task_acks_on_timeout": Setting("bool", None, "CELERY_ACKS_ON_TIMEOUT"),
    "task_always_eager": Setting("bool", False, "CELERY_ALWAYS_EAGER"),
    "task_annotations": Setting("any", None, "CELERY_ANNOTATIONS"),
    "task_compression": Setting("text", None, "CELERY_MESSAGE_COMPRESSION"),
    "task_create_missing_queues": Setting("bool", True, "CELERY_CREATE_MISSING_QUEUES"),
    "task_create_missing_queue_type": Setting("text", "classic", "CELERY_CREATE_MISSING_QUEUE_TYPE"),
    "task_create_missing_queue_exchange_type": Setting("text", None, "CELERY_CREATE_MISSING_QUEUE_EXCHANGE_TYPE"),
    "task_inherit_parent_priority": Setting("bool", False, "CELERY_INHERIT_PARENT_PRIORITY"),
    "task_default_delivery_mode": Setting("any", 2, "CELERY_DEFAULT_DELIVERY_MODE"),
    "task_default_queue": Setting("text", "celery", "CELERY_DEFAULT_QUEUE"),
    "task_default_queue_type": Setting("text", "classic", "CELERY_DEFAULT_QUEUE_TYPE"),
    "task_default_exchange": Setting("text", None, "CELERY_DEFAULT_EXCHANGE"),
    "task_default_exchange_type": Setting("text", "direct", "CELERY_DEFAULT_EXCHANGE_TYPE"),
    "task_default_routing_key": Setting("text", None, "CELERY_DEFAULT_ROUTING_KEY"),
    "task_default_rate_limit": Setting("text", None, "CELERY_DEFAULT_RATE_LIMIT"),
    "task_default_priority": Setting("priority", None, "CELERY_DEFAULT_PRIORITY"),
    "task_eager_propagates": Setting("bool", False, "CELERY_EAGER_PROPAGATES_EXCEPTIONS"),
    "task_ignore_result": Setting("bool", False, "CELERY_IGNORE_RESULT"),
    "task_store_eager_result": Setting("bool", False, "CELERY_STORE_EAGER_RESULT"),
    "task_protocol": Setting("protocol", 2, "CELERY_TASK_PROTOCOL"),
    "task_publish_retry": Setting("bool", True, "CELERY_TASK_PUBLISH_RETRY"),
    "task_publish_retry_policy": Setting(
        "dict",
        {"max_retries": 3, "interval_start": 0, "interval_max": 1, "interval_step": 0.2},
        "CELERY_TASK_PUBLISH_RETRY_POLICY",
    ),
    "task_queues": Setting("any", None, "CELERY_QUEUES"),
    "task_queue_max_priority": Setting("int", None, "CELERY_QUEUE_MAX_PRIORITY"),
    "task_reject_on_worker_lost": Setting("bool", None, "CELERY_REJECT_ON_WORKER_LOST"),
    "task_retry_on_worker_lost": Setting("bool", False, "CELERY_RETRY_ON_WORKER_LOST"),
    "task_remote_tracebacks": Setting("bool", False, "CELERY_REMOTE_TRACEBACKS"),
    "task_repr_maxlevels": Setting("int", 3, "CELERY_REPR_MAXLEVELS"),
    "task_routes": Setting("any", None, "CELERY_ROUTES"),
    "task_send_sent_event": Setting("bool", False, "CELERY_SEND_TASK_SENT_EVENT"),
    "task_serializer": Setting("text", "json", "CELERY_TASK_SERIALIZER"),
    "task_soft_time_limit": Setting("seconds", None, "CELERYD_TASK_SOFT_TIME_LIMIT"),
    "task_time_limit": Setting("seconds", None, "CELERYD_TASK_TIME_LIMIT"),
    "task_store_errors_even_if_ignored": Setting("bool", False, "CELERY_STORE_ERRORS_EVEN_IF_IGNORED"),
    "task_track_started": Setting("bool", False, "CELERY_TRACK_STARTED"),
    "task_allow_error_cb_on_chord_header": Setting("bool", False, "CELERY_ALLOW_ERROR_CB_ON_CHORD_HEADER"),
    "worker_agent": Setting("class", None, "CELERYD_AGENT"),
    "worker_autoscaler": Setting("class", "celery.worker.autoscale:Autoscaler", "CELERYD_AUTOSCALER"),
    "worker_cancel_long_running_tasks_on_connection_loss": Setting(
        "bool", False, "CELERYD_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS"
    ),
    "worker_soft_shutdown_timeout": Setting("float", 0.0, "CELERYD_SOFT_SHUTDOWN_TIMEOUT"),
    "worker_enable_soft_shutdown_on_idle": Setting("bool", False, "CELERYD_ENABLE_SOFT_SHUTDOWN_ON_IDLE"),
    "worker_concurrency": Setting("count", None, "CELERYD_CONCURRENCY"),
    "worker_consumer": Setting("class", "celery.worker.consumer:Consumer", "CELERYD_CONSUMER"),
    "worker_direct": Setting("bool", False, "CELERY_WORKER_DIRECT"),
    "worker_disable_rate_limits": Setting("bool", False, "CELERY_DISABLE_RATE_LIMITS"),
    "worker_deduplicate_successful_tasks": Setting("bool", False, "CELERYD_DEDUPLICATE_SUCCESSFUL_TASKS"),
    "worker_enable_remote_control": Setting("bool", True, "CELERY_ENABLE_REMOTE_CONTROL"),
    "worker_hijack_root_logger": Setting("bool", True, "CELERYD_HIJACK_ROOT_LOGGER"),
    "worker_log_color": Setting("bool", None, "CELERYD_LOG_COLOR"),
    "worker_log_datefmt": Setting("text", None, "CELERYD_LOG_DATEFMT"),
    "worker_log_format": Setting(
        "text", "[%(asctime)s: %(levelname)s/%(processName)s] %(message)s", "CELERYD_LOG_FORMAT"
    ),
    "worker_lost_wait": Setting("float", 10.0, "CELERYD_WORKER_LOST_WAIT"),
    "worker_max_memory_per_child": Setting("count", None, "CELERYD_MAX_MEMORY_PER_CHILD"),
    "worker_max_tasks_per_child": Setting("count", None, "CELERYD_MAX_TASKS_PER_CHILD"),
    "worker_pool": Setting("text", "prefork", "CELERYD_POOL"),
    "worker_pool_putlocks": Setting("bool", True, "CELERYD_POOL_PUTLOCKS"),
    "worker_pool_restarts": Setting("bool", False, "CELERYD_POOL_RESTARTS"),
    "worker_pool_start_method": Setting("text", "fork", "CELERYD_POOL_START_METHOD"),
    "worker_proc_alive_timeout": Setting("float", 4.0, "CELERYD_PROC_ALIVE_TIMEOUT"),
    "worker_prefetch_multiplier": Setting("count", 4, "CELERYD_PREFETCH_MULTIPLIER"),
    "worker_eta_task_limit": Setting("int", None, "CELERYD_ETA_TASK_LIMIT"),
    "worker_enable_prefetch_count_reduction": Setting("bool", True, "CELERYD_ENABLE_PREFETCH_COUNT_REDUCTION"),
    "worker_disable_prefetch": Setting("bool", False, "CELERYD_DISABLE_PREFETCH"),
    "worker_redirect_stdouts": Setting("bool", True, "CELERY_REDIRECT_STDOUTS"),
    "worker_redirect_stdouts_level": Setting("text", "WARNING", "CELERY_REDIRECT_STDOUTS_LEVEL"),
    "worker_send_task_events": Setting("bool", False, "CELERY_SEND_EVENTS"),
    "worker_state_db": Setting("text", None, "CELERYD_STATE_DB"),
    "worker_task_log_datefmt": Setting("text", None, "CELERYD_TASK_LOG_DATEFMT"),
    "worker_task_log_format": Setting(
        "text",
        "[%(asctime)s: %(levelname)s/%(processName)s] %(task_name)s[%(task_id)s]: %(message)s",
        "CELERYD_TASK_LOG_FORMAT",
    ),
    "worker_timer": Setting("class", None, "CELERYD_TIMER"),
    "worker_timer_precision": Setting("float", 1.0, "CELERYD_TIMER_PRECISION"),
    "worker_detect_quorum_queues": Setting("bool", True, "CELERYD_DETECT_QUORUM_QUEUES"),
    "task_max_deliveries": Setting("count", 5),
    "task_message_max_bytes": Setting("count", 67108864),
    "task_message_max_depth": Setting("count", 200),
    "message_signing_keys": Setting("names", None),
    "message_signature_required": Setting("bool", True),
    "canvas_state": Setting("text", None),
    "worker_lease_ttl": Setting("seconds", 30.0),
    "worker_lease_heartbeat": Setting("seconds", 10.0),
    "worker_settle_batch_size": Setting("count", 64),
    "worker_prefetch_seconds": Setting("seconds", 0.05),
    "worker_unknown_task": Setting("unknown", "dead_letter"),
    "workflow_max_depth": Setting("count", 20),
    "workflow_unknown_task": Setting("unknown_in_run", "wait"),
    "workflow_run_expires": Setting("duration", 604_800),
    "strict_settings": Setting("bool", False),
    "db_reuse_max": Setting("count", None, "CELERY_DB_REUSE_MAX"),
}


def nearest(name: str, known: Iterable[str] = (), like: float = _LIKE) -> str | None:
    """The setting whose name ``name`` resembles, if one does."""
    # Imported late: only wrong names need it.
    from difflib import get_close_matches

    return next(iter(get_close_matches(name, list(known or SETTINGS), n=1, cutoff=like)), None)


def hint(name: str) -> str:
    """The end of an error about an unknown name: the setting that it resembles, if one does."""
    near = nearest(name.lower(), like=0.6)
    return f"; did you mean {near}?" if near else ""


def nearest_zone(name: str, value: Any) -> str:
    """The end of an error about a setting's value: the time zone that it resembles, if it is to be one."""
    if name != "timezone" or not isinstance(value, str):
        return ""
    # Imported late: the module reads a whole folder.
    from zoneinfo import available_timezones

    near = nearest(value, available_timezones(), like=0.6)
    return f"; did you mean {near}?" if near else ""
