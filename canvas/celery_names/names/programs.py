"""Names by which programs define apps, compose and send tasks, and read results and events."""

from canvas.celery_names.names.places import PARTS, UTILS, Members, of

_VERSION = of(
    "canvas.celery_names.version",
    "SERIES VERSION VERSION_BANNER __author__ __contact__ __docformat__ __homepage__ __version__ version_info "
    "version_info_t",
)
_COMPOSING = of("canvas", "Signature chain chord chunks group maybe_signature signature subtask xmap xstarmap")
_APPS = {"Celery": "canvas:Canvas", "shared_task": "canvas:shared_task"}
_COMMANDS = "canvas.cli"
_CONTRIB = "canvas.celery_names.contrib"
_SECURITY = "canvas.celery_names.security"
_RECEIVER, _DISPATCHER = "canvas.remote.event_programs", "canvas.remote.event_sender"
_SCHEDULERS = "canvas.beat.scheduler_classes"
_STORES = "canvas.result.backend_classes"
_ENTRIES = "canvas.remote.cluster_entries"

PROGRAMS: dict[str, Members] = {
    "celery": {
        **_APPS, **_COMPOSING, **_VERSION, **of("canvas", "Task current_app current_task uuid"),
        **of(f"{PARTS}.apps", "bugreport maybe_patch_concurrency"),
        "registry": f"{PARTS}.registry",
    },
    "celery.__main__": {"main": f"{_COMMANDS}.as_celery:run"},
    "celery._state": {
        **of("canvas", "current_app current_task"),
        **of(f"{UTILS}.local", "connect_on_app_finalize _get_active_apps"),
        **of(f"{PARTS}.apps", "app_or_default disable_trace enable_trace pop_current_task push_current_task"),
        "_task_stack": f"{PARTS}.apps:task_stack",
        "_tls": f"{PARTS}.apps:tls",
        "default_app": "canvas:current_app",
        "get_current_app": "canvas.context:current_app",
        "get_current_task": "canvas.context:current_task",
        "get_current_worker_task": "canvas.context:current_task",
        "set_default_app": f"{PARTS}.apps:set_default_app",
        "_set_current_app": "canvas.context:set_current_app",
        "_set_task_join_will_block": "canvas.result:set_task_join_will_block",
        "task_join_will_block": "canvas.result:task_join_will_block",
    },
    "celery.app": {
        **_APPS,
        **of(f"{PARTS}.apps", "app_or_default bugreport disable_trace enable_trace pop_current_task push_current_task"),
        "default_app": "canvas:current_app",
    },
    "celery.app.amqp": {**of(f"{PARTS}.amqp", "AMQP Queues"),
                        **of("canvas.celery_names.messages.task_messages", "task_message")},
    "celery.app.base": {
        "Celery": "canvas:Canvas", **of(f"{PARTS}.apps", "appstr"), "Settings": "canvas.config.config:Config",
        "gen_task_name": f"{UTILS}.imports:gen_task_name",
    },
    "celery.app.control": {
        **of("canvas.remote.control", "Control"), **of("canvas.remote.inspect", "Inspect"),
        **of(f"{PARTS}.apps", "flatten_reply"),
    },
    "celery.app.defaults": of(
        f"{PARTS}.defaults",
        "DEFAULTS DEFAULT_ACCEPT_CONTENT DEFAULT_POOL DEFAULT_PROCESS_LOG_FMT DEFAULT_TASK_LOG_FMT SETTING_KEYS",
    ),
    "celery.app.events": of("canvas.remote.events", "Events"),
    "celery.app.trace": {
        **of(f"{PARTS}.tracing",
             "TraceInfo build_tracer reset_worker_optimizations setup_worker_optimizations trace_task"),
        "trace_ok_t": f"{PARTS}.tracing:Traced",
    },
    "celery.app.log": {**of("canvas.log", "TaskFormatter"), **of(f"{PARTS}.logging_setup", "Logging")},
    "celery.app.registry": {
        **of("canvas.app.registry", "TaskRegistry"),
        **dict.fromkeys(("_unpickle_task", "_unpickle_task_v2"), "canvas.context:current_task_named"),
    },
    "celery.app.task": {"Task": "canvas:Task", "Context": "canvas.model.request:Request"},
    "celery.app.utils": {
        **of(f"{PARTS}.apps", "appstr bugreport filter_hidden_settings"),
        "Settings": "canvas.config.config:Config",
        "find_app": "canvas.cli.find_app:find_app",
        "sanitize_url": "canvas.masking:masked_url",
    },
    "celery.apps": {},
    "celery.apps.beat": of(f"{PARTS}.programs", "Beat"),
    "celery.apps.worker": of(f"{PARTS}.programs", "Worker"),
    "celery.backends": {},
    "celery.backends.base": {
        **of(f"{_STORES}.base_backend", "BaseBackend"),
        **of(f"{_STORES}.keyvalue", "BaseKeyValueStoreBackend DisabledBackend KeyValueStoreBackend"),
        "Backend": f"{_STORES}.base_backend:BaseBackend", "BaseDictBackend": f"{_STORES}.base_backend:BaseBackend",
    },
    "celery.backends.cache": of(f"{_STORES}.servers", "CacheBackend"),
    "celery.backends.database": {**of(f"{_STORES}.servers", "DatabaseBackend"),
                                 **of("canvas.drivers.sql.celery_sessions", "retry session_cleanup")},
    "celery.backends.filesystem": of(f"{_STORES}.servers", "FilesystemBackend"),
    "celery.backends.redis": of(f"{_STORES}.servers", "RedisBackend SentinelBackend"),
    "celery.backends.rpc": of(f"{_STORES}.servers", "RPCBackend"),
    "celery.beat": {
        **of(f"{_SCHEDULERS}.entries", "ScheduleEntry SchedulingError event_t"),
        **of(f"{_SCHEDULERS}.scheduler", "DEFAULT_MAX_INTERVAL Scheduler"),
        **of(f"{_SCHEDULERS}.persistent", "PersistentScheduler"), **of(f"{_SCHEDULERS}.service", "EmbeddedService"),
        "BeatLazyFunc": "canvas.beat.arguments:BeatLazyFunc", "Service": f"{_SCHEDULERS}.service:SchedulerService",
        "_evaluate_entry_args": "canvas.beat.arguments:evaluated_args",
        "_evaluate_entry_kwargs": "canvas.beat.arguments:evaluated_kwargs", "logger": "canvas.beat.log:logger",
    },
    "celery.bin": {},
    "celery.bin.amqp": of(f"{_COMMANDS}.messages.brokers", "amqp"),
    "celery.bin.list": of(f"{_COMMANDS}.messages.brokers", "list_"),
    "celery.bin.logtool": of(f"{_COMMANDS}.files.logtool", "logtool"),
    "celery.bin.multi": of(f"{_COMMANDS}.multi.command", "multi"),
    "celery.bin.upgrade": of(f"{_COMMANDS}.files.upgrade", "upgrade"),
    "celery.bin.base": of(
        f"{_COMMANDS}.extending.celery_types",
        "COMMA_SEPARATED_LIST CeleryCommand CeleryDaemonCommand CeleryOption CommaSeparatedList DaemonOption "
        "EX_UNAVAILABLE ISO8601 ISO8601DateTime ISO8601DateTimeOrFloat ISO8601_OR_FLOAT JSON_ARRAY JSON_OBJECT "
        "JsonArray JsonObject LOG_LEVEL LogLevel handle_preload_options",
    ),
    "celery.bin.beat": of(f"{_COMMANDS}.periodic.beat", "beat"),
    "celery.bin.call": of(f"{_COMMANDS}.call", "call"),
    "celery.bin.celery": {"main": f"{_COMMANDS}.as_celery:run", "celery": f"{_COMMANDS}.main:canvas"},
    "celery.bin.control": of(f"{_COMMANDS}.inspect_control", "control inspect status"),
    "celery.bin.events": of(f"{_COMMANDS}.monitoring.events", "events"),
    "celery.bin.graph": of(f"{_COMMANDS}.graph", "graph"),
    "celery.bin.migrate": of(f"{_COMMANDS}.messages.migrate", "migrate"),
    "celery.bin.purge": of(f"{_COMMANDS}.messages.queues", "purge"),
    "celery.bin.result": of(f"{_COMMANDS}.call", "result"),
    "celery.bin.shell": of(f"{_COMMANDS}.shell", "shell"),
    "celery.bin.worker": of(f"{_COMMANDS}.worker.command", "worker"),
    "celery.canvas": {
        **_COMPOSING, **of("canvas", "StampingVisitor"),
        "_chain": "canvas.primitives.chain:_chain", "_chord": "canvas:chord",
    },
    "celery.contrib": {},
    "celery.contrib.abortable": of(f"{PARTS}.abortable", "ABORTED AbortableAsyncResult AbortableTask"),
    "celery.contrib.django": {},
    "celery.contrib.django.task": of("canvas.integrations.django", "DjangoTask"),
    "celery.contrib.pytest": of(
        "canvas.testing.pytest_plugin",
        "celery_app celery_class_tasks celery_config celery_enable_logging celery_includes celery_parameters "
        "celery_session_app celery_session_worker celery_worker celery_worker_parameters celery_worker_pool "
        "depends_on_current_app use_celery_app_trap",
    ),
    "celery.security": of(_SECURITY, "disable_untrusted_serializers setup_security"),
    "celery.security.certificate": of(f"{_SECURITY}.certificate", "CertStore Certificate FSCertStore"),
    "celery.security.key": of(f"{_SECURITY}.key", "PrivateKey"),
    "celery.security.serialization": of(f"{_SECURITY}.serialization", "SecureSerializer register_auth"),
    "celery.security.utils": of(f"{_SECURITY}.utils", "get_digest_algorithm reraise_errors"),
    "celery.contrib.migrate": of(
        f"{_CONTRIB}.migrate",
        "Filterer State StopFiltering expand_dest filter_callback filter_status migrate_task migrate_tasks move "
        "move_by_idmap move_by_taskmap move_direct move_direct_by_id move_direct_by_idmap move_direct_by_taskmap "
        "move_task_by_id prepare_queues republish start_filter task_id_eq task_id_in",
    ),
    "celery.contrib.rdb": of(f"{_CONTRIB}.rdb", "CELERY_RDB_HOST CELERY_RDB_PORT DEFAULT_PORT Rdb debugger set_trace"),
    "celery.contrib.sphinx": of(
        f"{_CONTRIB}.sphinx", "TaskDirective TaskDocumenter autodoc_skip_member_handler setup"
    ),
    "celery.contrib.testing": {},
    "celery.contrib.testing.mocks": of(
        f"{_CONTRIB}.mocks", "ContextMock TaskMessage TaskMessage1 task_message_from_sig"
    ),
    "celery.contrib.testing.app": of(
        f"{PARTS}.testing", "DEFAULT_TEST_CONFIG TestApp Trap UnitLogging set_trap setup_default_app"
    ),
    "celery.contrib.testing.tasks": of(f"{PARTS}.testing", "ping"),
    "celery.contrib.testing.worker": of("canvas.testing.worker", "start_worker"),
    "celery.events": {
        **of(_RECEIVER, "EventReceiver"), **of(_DISPATCHER, "EventDispatcher"),
        **of(f"{PARTS}.apps", "Event group_from"),
    },
    "celery.events.dispatcher": of(_DISPATCHER, "EventDispatcher"),
    "celery.events.event": of(f"{PARTS}.apps", "Event group_from"),
    "celery.events.receiver": of(_RECEIVER, "EventReceiver"),
    "celery.events.snapshot": of(f"{PARTS}.snapshot", "Polaroid evcam"),
    "celery.events.state": {
        **of(_ENTRIES, "HEARTBEAT_EXPIRE_WINDOW TASK_EVENT_TO_STATE Task Worker heartbeat_expires"),
        "State": "canvas.remote.cluster_state:State",
    },
    "celery.exceptions": of(f"{_COMMANDS}.extending.celery_types", "CeleryCommandException"),
    "celery.fixups": {},
    "celery.fixups.django": of("canvas.integrations.django", "DjangoFixup fixup"),
    "celery.loaders": of(f"{PARTS}.loaders", "get_loader_cls"),
    "celery.loaders.app": of(f"{PARTS}.loaders", "AppLoader"),
    "celery.loaders.default": of(f"{PARTS}.loaders", "DEFAULT_CONFIG_MODULE Loader"),
    "celery.loaders.base": of(f"{PARTS}.loaders", "BaseLoader"),
    "celery.local": of(f"{UTILS}.local", "PromiseProxy Proxy class_property maybe_evaluate try_import"),
    "celery.result": {
        "assert_will_not_block": "canvas.result:check_join_allowed",
    },
    "celery.platforms": of(
        f"{UTILS}.platforms",
        "EX_FAILURE EX_OK EX_UNAVAILABLE EX_USAGE IS_WINDOWS IS_macOS LockFailed Pidfile SIGMAP SYSTEM create_pidlock "
        "get_errno_name ignore_errno isatty parse_gid parse_uid pyimplementation set_process_title setgid setuid "
        "signal_name signals",
    ),
}  # fmt: skip
"""Modules that hold objects of canvas, and their names."""
