"""The effect of each setting, in one sentence: the table in ``docs/reference/settings.md`` is made of it.

A setting is here, or it has no effect and ``canvas.config.ignored`` has the reason. No program loads this module.
"""

from typing import Final

EFFECTS: Final[dict[str, str]] = {
    "accept_content": "Serializers that are read, by name or content type; messages in others become dead letters.",
    "result_accept_content": "Serializers of results that are read. Default: those of `accept_content`.",
    "imports": "Modules that a worker imports when it starts.",
    "include": "Further modules to import, as `Canvas(include=…)` and `-I` give them.",
    "timezone": "The time zone of schedules and of times without an offset. Default: UTC.",
    "beat_max_loop_interval": "The longest time in seconds between two looks for entries that are due. `0`: 1 second.",
    "beat_enable_remote_control": "Beat answers `canvas inspect ping`, as with `--enable-remote-control`.",
    "beat_schedule": "The entries of `canvas beat`, by name.",
    "beat_scheduler": "Where entries are kept: the broker (the default), `django`, `redbeat`, Celery's names for "
    "these, or a scheduler class by its path.",
    "beat_schedule_filename": "The file of Celery's beat from which the last runs of new entries are read.",
    "beat_cron_starting_deadline": "A crontab's tick that is more than this many seconds late is left out.",
    "broker_url": "The broker: `redis://`, `rediss://`, `redis+socket://`, `sentinel://`, `redis+cluster://`, "
    "`amqp://` or `memory://`. Default: `redis://localhost:6379/0`.",
    "broker_shards": "Several Redis servers as one broker, each with the names or patterns of its queues: "
    '`{"redis://a": ["email*"], "redis://b": ["*"]}`. The first pattern that matches decides where a queue is. In '
    "place of `broker_url`.",
    "broker_transport_options": "Options of the broker's connection and keys, with kombu's names. Give clients and "
    "workers of both libraries the same ones.",
    "broker_connection_timeout": "Seconds within which a connection must be open.",
    "broker_connection_retry": "The default of `broker_connection_retry_on_startup`. A running worker always "
    "connects again.",
    "broker_connection_retry_on_startup": "Whether a worker waits for a broker that does not answer at its start.",
    "broker_connection_max_retries": "How often a worker tries to connect at its start; `None` or `0`: without end. A "
    "running worker never gives up.",
    "broker_heartbeat": "RabbitMQ: seconds between two heartbeats of a connection.",
    "broker_login_method": "RabbitMQ: `AMQPLAIN`, `PLAIN` or `EXTERNAL`.",
    "broker_native_delayed_delivery_queue_type": "RabbitMQ: the type of the queues of delayed messages, `quorum` or "
    "`classic`.",
    "broker_use_ssl": "TLS to the broker: `True`, or a dict of `ssl_ca_certs`, `ssl_certfile`, `ssl_keyfile`, "
    "`ssl_cert_reqs`.",
    "control_queue_ttl": "RabbitMQ: seconds for which a message stays in a queue of remote control.",
    "control_queue_expires": "RabbitMQ: seconds after which an unused queue of remote control is deleted.",
    "control_queue_exclusive": "RabbitMQ: whether queues of remote control are exclusive.",
    "control_queue_durable": "RabbitMQ: whether queues of remote control are durable.",
    "event_queue_ttl": "RabbitMQ: seconds for which an event stays in a receiver's queue.",
    "event_queue_expires": "RabbitMQ: seconds after which an unused queue of events is deleted.",
    "event_queue_exclusive": "RabbitMQ: whether queues of events are exclusive.",
    "event_queue_durable": "RabbitMQ: whether queues of events are durable.",
    "event_queue_prefix": "RabbitMQ: the beginning of the names of queues of events.",
    "control_exchange": "The name of the exchange of remote control.",
    "event_exchange": "The name of the exchange of events.",
    "redis_backend_use_ssl": "TLS to the result backend, as `broker_use_ssl`.",
    "redis_host": "The server's host, where `result_backend` is `redis` or `RedisBackend` without a URL.",
    "redis_port": "The server's port, where `redis_host` counts.",
    "redis_db": "The number of the database, where `redis_host` counts.",
    "redis_username": "The user, where `redis_host` counts.",
    "redis_password": "The password, where `redis_host` counts.",
    "database_url": "The database's URL, where `result_backend` is `database` or `DatabaseBackend` without a URL.",
    "redis_max_connections": "The most connections a process opens to the result backend.",
    "redis_socket_timeout": "Seconds after which a command to the result backend is given up.",
    "redis_socket_connect_timeout": "Seconds within which a connection to the result backend must be open.",
    "redis_socket_keepalive": "Whether TCP keepalive is on for the result backend.",
    "result_backend": "The store of results: a Redis URL, `db+postgresql://…`, `db+mysql://…`, `db+sqlite:///…`, "
    "`django-db`, "
    "`cache+memcached://…`, `django-cache`, `file:///path`, `memory://`, or a class, `module:Class`; "
    "with RabbitMQ also `rpc://`. "
    "Without one, results cannot be read and chords are refused.",
    "result_persistent": "`rpc://` results: whether they outlive a restart of RabbitMQ.",
    "result_compression": "How results are compressed: `gzip`, `bzip2`, `lzma`, `brotli`, `zstd`.",
    "result_expires": "Seconds (or a timedelta) for which a result is kept; `None` or `0`: without end.",
    "result_chord_expires": "Seconds for which the state of a chord is kept after its end. Default: `result_expires`.",
    "result_failure_expires": "Seconds for which the result of a failed task is kept. Default: `result_expires`.",
    "result_extended": "Whether a result also keeps the task's name, arguments, worker, retries and queue.",
    "result_serializer": "The serializer of results.",
    "result_backend_transport_options": "Options of the result backend's connection, such as `global_keyprefix` and "
    "`master_name`.",
    "result_chord_retry_interval": "Seconds between two looks of `celery.chord_unlock` at the header of a chord.",
    "result_chord_unlock": "Whether `celery.chord_unlock` ends chords also where the result backend counts their "
    "parts: for Celery workers with results in SQL.",
    "cache_backend": "With `result_backend` `cache`: the URL of a cache; with `django-cache`: an entry of `CACHES`.",
    "cache_backend_options": "Results in Memcached: options of pymemcache's clients.",
    "database_engine_options": "SQL results: arguments of SQLAlchemy's `create_engine`.",
    "database_engine_callback": "SQL results: a function that is called with the new engine.",
    "database_table_schemas": "SQL results: schemas of the tables, by `task` and `group`.",
    "database_table_names": "SQL results: names of the tables, by `task` and `group`.",
    "database_create_tables_at_setup": "SQL results: whether missing tables are created at first use.",
    "task_acks_late": "Whether a message is acknowledged with the task's result (on) or before the task starts (off). "
    "Celery's default is off.",
    "task_acks_on_failure_or_timeout": "The default of the next two.",
    "task_acks_on_failure": "Off: the message of a failed task is kept among the dead letters.",
    "task_acks_on_timeout": "Off: a task that its hard limit ended runs again, up to `task_max_deliveries` times.",
    "task_always_eager": "Run tasks and workflows in the calling process when they are sent.",
    "task_annotations": "Attributes to change on tasks, by task name; `'*'` is every task.",
    "task_compression": "How messages are compressed, as `result_compression`.",
    "task_create_missing_queues": "Whether a queue that is not in `task_queues` may be used. Off: `QueueNotFound`.",
    "task_create_missing_queue_type": "RabbitMQ: the type of queues that are not in `task_queues`, `classic` or "
    "`quorum`.",
    "task_create_missing_queue_exchange_type": "The exchange type of queues that are not in `task_queues`. "
    "Default: `direct`.",
    "task_inherit_parent_priority": "Whether a task's messages get its own priority.",
    "task_default_delivery_mode": "RabbitMQ: whether messages outlive a restart: `2` or `'persistent'` do, `1` or "
    "`'transient'` do not.",
    "task_default_queue": "The queue of tasks that no route gives another one.",
    "task_default_queue_type": "RabbitMQ: the type of the default queue, `classic` or `quorum`.",
    "task_default_exchange": "The exchange of queues without their own. Default: the queue's name.",
    "task_default_exchange_type": "The type of `task_default_exchange`. Default: `direct`.",
    "task_default_routing_key": "The routing key of queues without their own. Default: the queue's name.",
    "task_default_rate_limit": "The rate limit of tasks without their own, such as `'10/s'`.",
    "task_default_priority": "The priority of tasks without their own. On Redis 0 is served first, on RabbitMQ the "
    "highest number.",
    "task_eager_propagates": "With `task_always_eager`: raise a task's exception in the caller.",
    "task_ignore_result": "Whether results of tasks are not stored.",
    "task_store_eager_result": "With `task_always_eager`: store results as a worker does.",
    "task_protocol": "The form of messages: `2`, or `1` of Celery 3.",
    "task_publish_retry": "Whether a send is tried again when the broker does not answer.",
    "task_publish_retry_policy": "How a send is tried again: `max_retries`, `interval_start`, `interval_step`, "
    "`interval_max` (seconds), `retry_errors`.",
    "task_queues": "The queues: names, a dict of options by name, or `Queue` objects. A worker without `-Q` consumes "
    "all of them.",
    "task_queue_max_priority": "RabbitMQ: `x-max-priority` of queues without their own.",
    "task_reject_on_worker_lost": "Whether a task whose worker died while it ran runs again. Off: it fails with "
    "`WorkerLostError`. Default: on, except for tasks that are acknowledged early.",
    "task_repr_maxlevels": "The depth to which arguments are shown in logs and events.",
    "task_routes": "Which task goes to which queue: a dict by name or pattern, a list of them, or functions.",
    "task_send_sent_event": "Whether clients send an event for each message they send.",
    "task_serializer": "The serializer of messages: `json`, `msgpack`, `yaml`, `pickle`, or `auth`, which signs.",
    "security_key": "The path of the private key with which `app.setup_security()` signs messages.",
    "security_key_password": "The password of that key.",
    "security_certificate": "The path of the certificate of that key.",
    "security_cert_store": "The folder of the certificates that messages may be signed with, or a pattern of paths.",
    "security_digest": "The hash of these signatures.",
    "task_soft_time_limit": "The soft time limit of tasks without their own, in seconds.",
    "task_time_limit": "The hard time limit of tasks without their own, in seconds.",
    "task_store_errors_even_if_ignored": "Store failures of tasks whose results are not stored.",
    "task_track_started": "Whether a task's record is STARTED while it runs.",
    "task_allow_error_cb_on_chord_header": "Whether `chord.link_error` also links the tasks of the header.",
    "worker_soft_shutdown_timeout": "Seconds that running tasks are given after QUIT or a second INT. Then their "
    "messages are returned to the queue.",
    "worker_concurrency": "How many tasks run at once. Default: the number of cores.",
    "worker_direct": "Whether a worker also serves a queue of its own, `name@host.dq2`.",
    "worker_disable_rate_limits": "Whether rate limits are off.",
    "worker_enable_remote_control": "Whether a worker answers `inspect` and `control`.",
    "worker_hijack_root_logger": "Whether a worker removes the root logger's handlers.",
    "worker_log_color": "Whether the log has colours. Default: only on a terminal.",
    "worker_log_datefmt": "The form of times in the log.",
    "worker_log_format": "The form of the log's lines.",
    "worker_max_memory_per_child": "Replace a prefork process that uses more KiB than this after a task.",
    "worker_max_tasks_per_child": "Replace a prefork process after this many tasks.",
    "worker_pool": "`prefork`, `threads`, `asyncio` or `solo`.",
    "worker_pool_restarts": "Whether `canvas control pool_restart` is allowed.",
    "worker_proc_alive_timeout": "Seconds within which a new prefork process must have run its "
    "`worker_process_init` receivers; `0`: no limit.",
    "worker_prefetch_multiplier": "Messages to hold per slot. At the default, `worker_prefetch_seconds` decides "
    "instead.",
    "worker_disable_prefetch": "Whether a worker holds only the messages of running tasks.",
    "worker_redirect_stdouts": "Whether the output of tasks goes to the log.",
    "worker_redirect_stdouts_level": "The level at which the output of tasks is logged.",
    "worker_send_task_events": "Whether a worker sends task events (`-E`).",
    "worker_task_log_datefmt": "The form of times in lines of tasks.",
    "worker_task_log_format": "The form of the lines that tasks log.",
    "task_max_deliveries": "After this many deliveries to workers that died, a message becomes a dead letter.",
    "task_message_max_bytes": "Larger messages are neither sent nor read.",
    "task_message_max_depth": "Data nested deeper is neither sent, nor stored, nor read.",
    "message_signing_keys": "Keys that sign messages, of 32 characters or more. The first signs; all are accepted.",
    "message_signature_required": "Whether a message without a signature is refused, once there are keys.",
    "canvas_state": "With RabbitMQ: the Redis server or database of everything but messages and results. Default: "
    "the result backend, if that is Redis or a database.",
    "worker_lease_ttl": "Seconds without a heartbeat after which a worker counts as dead.",
    "worker_lease_heartbeat": "Seconds between two heartbeats.",
    "worker_settle_batch_size": "The most settlements in one call to the broker.",
    "worker_prefetch_seconds": "Seconds of work that a worker holds beyond its running tasks.",
    "worker_unknown_task": "A message whose task is not registered: `dead_letter`, or `requeue` for another worker.",
    "workflow_max_depth": "The depth to which runs of workflows may be nested.",
    "workflow_unknown_task": "A node whose task is not registered: `wait` for a worker that has it, or `fail`.",
    "workflow_run_expires": "Seconds for which a run and its results are kept after its end. Default: a week.",
    "strict_settings": "Whether an unknown setting is an error.",
    "db_reuse_max": "With Django: tasks for which connections to databases are kept. Default: one.",
}
