"""The effect of each setting, in one sentence: the table in ``docs/reference/settings.md`` is made of it.

A setting is here, or it has no effect and ``canvas.config.ignored`` has the reason. No program loads this module.
"""

from typing import Final

EFFECTS: Final[dict[str, str]] = {
    "accept_content": "Lists the serializers that are read, by name or content type. Messages in others become dead "
    "letters.",
    "result_accept_content": "Lists the serializers of results that are read. Default: `accept_content`.",
    "imports": "Names modules that a worker imports when it starts.",
    "include": "Names further modules to import, as `Canvas(include=…)` and `-I` do.",
    "enable_utc": "`False`: schedules are in the time zone of the machine, where `timezone` is not set.",
    "timezone": "Sets the time zone of schedules and of times without an offset. Default: Django's `TIME_ZONE`, where "
    "the configuration object has it, else UTC.",
    "beat_max_loop_interval": "Limits the seconds between two checks for entries that are due. `0` means 1 second.",
    "beat_enable_remote_control": "Lets beat answer `canvas inspect ping`, as `--enable-remote-control` does.",
    "beat_schedule": "Holds the entries of `canvas beat`, by name.",
    "beat_scheduler": "Says where entries are kept: in the broker (the default), `django`, `redbeat`, Celery's "
    "names for these, or a scheduler class by its path.",
    "beat_schedule_filename": "Names the file of Celery's beat from which the last runs of new entries are read.",
    "beat_cron_starting_deadline": "Leaves out a crontab's tick that is more than this many seconds late.",
    "broker_url": "Names the broker: `redis://`, `rediss://`, `redis+socket://`, `sentinel://`, `redis+cluster://`, "
    "`amqp://` or `memory://`. Default: `redis://localhost:6379/0`.",
    "broker_shards": "Uses several Redis servers as one broker, in place of `broker_url`. Each has the names or "
    'patterns of its queues: `{"redis://a": ["email*"], "redis://b": ["*"]}`. The first pattern that matches '
    "decides where a queue is.",
    "broker_transport_options": "Sets options of the broker's connection and keys, with kombu's names. Give clients "
    "and workers of both libraries the same ones.",
    "broker_connection_timeout": "Limits the seconds in which a connection must open.",
    "broker_connection_retry": "Sets the default of `broker_connection_retry_on_startup`. A running worker always "
    "connects again.",
    "broker_connection_retry_on_startup": "Lets a worker wait for a broker that does not answer at its start.",
    "broker_connection_max_retries": "Limits how often a worker tries to connect at its start; `None` and `0` set "
    "no limit. A running worker never gives up.",
    "broker_heartbeat": "RabbitMQ: sets the seconds between two heartbeats of a connection.",
    "broker_login_method": "RabbitMQ: selects `AMQPLAIN`, `PLAIN` or `EXTERNAL`.",
    "broker_native_delayed_delivery_queue_type": "RabbitMQ: selects the type of the queues of delayed messages, "
    "`quorum` or `classic`.",
    "broker_read_url": "Names the broker for an app without `broker_url`. `broker_write_url` may not name another one.",
    "broker_write_url": "Names the broker for an app without `broker_url` and `broker_read_url`.",
    "broker_use_ssl": "Turns on TLS to the broker: `True`, or a dict of `ssl_ca_certs`, `ssl_certfile`, "
    "`ssl_keyfile`, `ssl_cert_reqs`.",
    "control_queue_ttl": "RabbitMQ: deletes a message of remote control after this many seconds.",
    "control_queue_expires": "RabbitMQ: deletes an unused queue of remote control after this many seconds.",
    "control_queue_exclusive": "RabbitMQ: makes queues of remote control exclusive.",
    "control_queue_durable": "RabbitMQ: makes queues of remote control durable.",
    "event_queue_ttl": "RabbitMQ: deletes an event from a receiver's queue after this many seconds.",
    "event_queue_expires": "RabbitMQ: deletes an unused queue of events after this many seconds.",
    "event_queue_exclusive": "RabbitMQ: makes queues of events exclusive.",
    "event_queue_durable": "RabbitMQ: makes queues of events durable.",
    "event_queue_prefix": "RabbitMQ: sets the beginning of the names of event queues.",
    "control_exchange": "Names the exchange of remote control.",
    "event_exchange": "Names the exchange of events.",
    "redis_backend_use_ssl": "Turns on TLS to the result backend, as `broker_use_ssl` does to the broker.",
    "redis_host": "Names the Redis server's host. It has an effect if `result_backend` is `redis` or `RedisBackend` "
    "without a URL.",
    "redis_port": "Sets the port of `redis_host`.",
    "redis_db": "Sets the number of the database at `redis_host`.",
    "redis_username": "Sets the user at `redis_host`.",
    "redis_password": "Sets the password at `redis_host`.",
    "database_url": "Sets the database's URL. It has an effect if `result_backend` is `database` or "
    "`DatabaseBackend` without a URL.",
    "redis_max_connections": "Limits the connections that a process opens to the result backend.",
    "redis_socket_timeout": "Gives up a command to the result backend after this many seconds.",
    "redis_socket_connect_timeout": "Limits the seconds in which a connection to the result backend must open.",
    "redis_socket_keepalive": "Turns on TCP keepalive for the result backend.",
    "result_backend": "Names the store of results: a Redis URL, `db+postgresql://…`, `db+mysql://…`, "
    "`db+sqlite:///…`, `django-db`, `cache+memcached://…`, `django-cache`, `file:///path`, `memory://`, `rpc://`, "
    "or a class, `module:Class`. Without one, results cannot be read and chords are "
    "refused.",
    "result_persistent": "Lets `rpc://` results outlive a restart of RabbitMQ.",
    "result_compression": "Selects how results are compressed: `gzip`, `bzip2`, `lzma`, `brotli`, `zstd`.",
    "result_expires": "Deletes a result after this many seconds (or a timedelta); `None` and `0` keep it without end.",
    "result_chord_expires": "Deletes the state of a chord this many seconds after its end. Default: `result_expires`.",
    "result_failure_expires": "Deletes the result of a failed task after this many seconds. Default: `result_expires`.",
    "result_extended": "Lets a result also keep the task's name, arguments, worker, retries and queue.",
    "result_serializer": "Selects the serializer of results.",
    "result_backend_transport_options": "Sets options of the result backend's connection, such as "
    "`global_keyprefix` and `master_name`.",
    "result_chord_retry_interval": "Sets the seconds between two checks of a chord's header by `celery.chord_unlock`.",
    "result_chord_unlock": "Lets `celery.chord_unlock` end chords even if the result backend counts their parts. "
    "Celery workers with results in SQL need it.",
    "cache_backend": "With `result_backend` `cache`: names the URL of a cache. With `django-cache`: names an entry of "
    "`CACHES`.",
    "cache_backend_options": "Results in Memcached: sets options of pymemcache's clients.",
    "database_engine_options": "SQL results: sets arguments of SQLAlchemy's `create_engine`.",
    "database_engine_callback": "SQL results: names a function that is called with the new engine.",
    "database_table_schemas": "SQL results: names the schemas of the tables, by `task` and `group`.",
    "database_table_names": "SQL results: names the tables, by `task` and `group`.",
    "database_create_tables_at_setup": "SQL results: creates missing tables at first use.",
    "task_acks_late": "On: a message is acknowledged with the task's result. Off: before the task starts. Celery's "
    "default is off.",
    "task_acks_on_failure_or_timeout": "Sets the default of `task_acks_on_failure` and `task_acks_on_timeout`.",
    "task_acks_on_failure": "Off: the message of a failed task is kept among the dead letters.",
    "task_acks_on_timeout": "Off: a task that its hard limit ended runs again, up to `task_max_deliveries` times.",
    "task_always_eager": "Runs tasks and workflows in the calling process when they are sent.",
    "task_annotations": "Changes attributes of tasks, by task name; `'*'` is every task.",
    "task_compression": "Selects how messages are compressed, with the names of `result_compression`.",
    "task_create_missing_queues": "Lets a queue be used that is not in `task_queues`. Off: a call that names one "
    "raises `QueueNotFound`.",
    "task_create_missing_queue_type": "RabbitMQ: selects the type of queues that are not in `task_queues`, "
    "`classic` or `quorum`.",
    "task_create_missing_queue_exchange_type": "Selects the exchange type of queues that are not in `task_queues`. "
    "Default: `direct`.",
    "task_inherit_parent_priority": "Gives the messages that a task sends the priority of that task.",
    "task_default_delivery_mode": "RabbitMQ: decides whether messages outlive a restart: with `2` or `'persistent'` "
    "they do, with `1` or `'transient'` they do not.",
    "task_default_queue": "Names the queue of tasks that no route gives another one.",
    "task_default_queue_type": "RabbitMQ: selects the type of the default queue, `classic` or `quorum`.",
    "task_default_exchange": "Names the exchange of queues that have none. Default: `task_default_queue`.",
    "task_default_exchange_type": "Selects the type of `task_default_exchange`. Default: `direct`.",
    "task_default_routing_key": "Sets the routing key of queues that have none. Default: `task_default_queue`.",
    "task_default_rate_limit": "Sets the rate limit of tasks that have none, such as `'10/s'`.",
    "task_default_priority": "Sets the priority of tasks that have none. Redis serves 0 first, RabbitMQ the "
    "highest number.",
    "task_eager_propagates": "With `task_always_eager`: raises a task's exception in the caller.",
    "task_ignore_result": "Does not store the results of tasks.",
    "task_store_eager_result": "With `task_always_eager`: stores results as a worker does.",
    "task_protocol": "Selects the form of messages: `2`, or `1` of Celery 3.",
    "task_publish_retry": "Tries a send again when the broker does not answer.",
    "task_publish_retry_policy": "Sets how a send is tried again: `max_retries`, `interval_start`, `interval_step`, "
    "`interval_max` (seconds), `retry_errors`.",
    "task_queues": "Lists the queues: names, a dict of options by name, or `Queue` objects. A worker without `-Q` "
    "consumes all of them.",
    "task_queue_max_priority": "RabbitMQ: sets the `x-max-priority` of queues that have none.",
    "task_reject_on_worker_lost": "Runs a task again whose worker died while it ran. Off: it fails with "
    "`WorkerLostError`. Default: on, except for tasks that are acknowledged early.",
    "task_repr_maxlevels": "Limits the depth to which arguments are shown in logs and events.",
    "task_routes": "Decides which task goes to which queue: a dict by name or pattern, a list of them, or functions.",
    "task_send_sent_event": "Lets clients send an event for each message they send.",
    "task_serializer": "Selects the serializer of messages: `json`, `msgpack`, `yaml`, `pickle`, or `auth`, which "
    "signs.",
    "security_key": "Sets the path of the private key with which `app.setup_security()` signs messages.",
    "security_key_password": "Sets the password of the key at `security_key`.",
    "security_certificate": "Sets the path of the certificate of the key at `security_key`.",
    "security_cert_store": "Sets the folder of the certificates that messages may be signed with, or a pattern of "
    "their paths.",
    "security_digest": "Selects the hash of these signatures.",
    "task_soft_time_limit": "Sets the soft time limit of tasks that have none, in seconds.",
    "task_time_limit": "Sets the hard time limit of tasks that have none, in seconds.",
    "task_store_errors_even_if_ignored": "Stores failures of tasks whose results are not stored.",
    "task_track_started": "Stores the state STARTED while a task runs.",
    "task_allow_error_cb_on_chord_header": "Lets `chord.link_error` link the tasks of the header, too.",
    "worker_soft_shutdown_timeout": "Gives running tasks this many seconds after QUIT or a second INT. Then their "
    "messages are returned to the queue.",
    "worker_concurrency": "Sets how many tasks run at once. Default: the number of cores.",
    "worker_direct": "Lets a worker also serve a queue of its own, `name@host.dq2`.",
    "worker_disable_rate_limits": "Turns off rate limits.",
    "worker_enable_remote_control": "Lets a worker answer `inspect` and `control`.",
    "worker_hijack_root_logger": "Lets a worker remove the root logger's handlers.",
    "worker_log_color": "Colours the log. Default: only on a terminal.",
    "worker_log_datefmt": "Sets the form of times in the log.",
    "worker_log_format": "Sets the form of the log's lines.",
    "worker_max_memory_per_child": "Replaces a prefork process that uses more KiB than this after a task.",
    "worker_max_tasks_per_child": "Replaces a prefork process after this many tasks.",
    "worker_pool": "Selects the pool: `prefork`, `threads`, `asyncio` or `solo`.",
    "worker_pool_restarts": "Allows `canvas control pool_restart`.",
    "worker_proc_alive_timeout": "Limits the seconds in which a new prefork process must run its "
    "`worker_process_init` receivers; `0` sets no limit.",
    "worker_prefetch_multiplier": "Sets how many messages a worker holds per slot. At the default, "
    "`worker_prefetch_seconds` decides instead.",
    "worker_disable_prefetch": "Lets a worker hold only the messages of running tasks.",
    "worker_redirect_stdouts": "Sends the output of tasks to the log.",
    "worker_redirect_stdouts_level": "Sets the level at which the output of tasks is logged.",
    "worker_send_task_events": "Lets a worker send task events, as `-E` does.",
    "worker_task_log_datefmt": "Sets the form of times in lines of tasks.",
    "worker_task_log_format": "Sets the form of the lines that tasks log.",
    "task_max_deliveries": "Makes a message a dead letter after this many deliveries to workers that died.",
    "task_message_max_bytes": "Refuses to send or read messages that are larger.",
    "task_message_max_depth": "Refuses to send, store or read data that is nested deeper.",
    "message_signing_keys": "Signs messages with the first of these keys, of 32 characters or more, and accepts "
    "signatures of all of them.",
    "message_signature_required": "Refuses messages without a signature, once there are keys.",
    "canvas_state": "With RabbitMQ: names the Redis server or database that keeps everything but messages and "
    "results. Default: the result backend, if that is Redis or a database.",
    "worker_lease_ttl": "Counts a worker as dead after this many seconds without a heartbeat.",
    "worker_lease_heartbeat": "Sets the seconds between two heartbeats: at most a third of `worker_lease_ttl`.",
    "worker_settle_batch_size": "Limits the settlements in one call to the broker.",
    "worker_prefetch_seconds": "Sets how many seconds of work a worker holds beyond its running tasks.",
    "worker_unknown_task": "Decides what becomes of a message whose task is not registered: `dead_letter`, or "
    "`requeue` for another worker.",
    "workflow_max_depth": "Limits the depth to which runs of workflows may be nested.",
    "workflow_unknown_task": "Decides what a node does whose task is not registered: `wait` for a worker that has "
    "it, or `fail`.",
    "workflow_run_expires": "Deletes a run and its results this many seconds after its end. Default: a week.",
    "strict_settings": "Makes an unknown setting an error.",
    "db_reuse_max": "With Django: sets for how many tasks connections to databases are kept. Default: one.",
}
