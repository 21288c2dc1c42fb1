"""Names of Celery that canvas does not have, and what to use."""

WITHOUT = {
    "celery.app.annotations": "takes the setting task_annotations",
    "celery.app.autoretry": "retries tasks by their autoretry_for",
    "celery.app.backends": "takes result_backend, a URL; the reference of settings lists them",
    "celery.app.builtins": "defines the built-in tasks itself",
    "celery.app.routes": "takes the setting task_routes",
    "celery.apps.multi": "starts several workers by canvas multi",
    "celery.backends": "keeps results in Redis, SQL, Memcached, files or memory by drivers of its own; "
    "results are read by AsyncResult",
    "celery.concurrency": "chooses pools by name: -P solo, threads, prefork or asyncio",
    "celery.contrib.testing.manager": "has canvas.testing; tests of programs that kill workers need Celery's",
    "celery.events.cursesmon": "shows events by canvas events",
    "celery.events.dumper": "shows events by canvas events",
    "celery.utils.quorum_queues": "has workers that take quorum queues without a setting",
    "celery.utils.static": "has no pictures",
    "celery.worker.heartbeat": "sends heartbeats itself; --heartbeat-interval and --without-heartbeat change them",
    "celery.worker.loops": "has an event loop of its own",
    "celery.worker.pidbox": "listens to remote control itself",
}
"""By module of which canvas has none of the objects, the words that follow "canvas" in the error of their use."""

_INTERNAL = "keeps this inside"
NAMES_WITHOUT: dict[str, dict[str, str]] = {
    "celery.beat": {"BeatPidbox": "has canvas beat --enable-remote-control"},
    "celery.app": {"AppPickler": "pickles apps itself"},
    "celery.app.defaults": dict.fromkeys(
        ("NAMESPACES", "Namespace", "Option", "find", "find_deprecated_settings", "flatten", "old_ns", "searchresult"),
        "has the values of settings in app.conf, and describes them in the reference of settings"),
    "celery.app.trace": {
        "task_has_custom": _INTERNAL, "traceback_clear": _INTERNAL,
    },
    "celery.backends.base": dict.fromkeys(
        ("SyncBackendMixin", "pending_results_t"),
        "has drivers of its own for servers"),
    "celery.backends.filesystem": dict.fromkeys(
        ("E_NO_PATH_SET", "E_PATH_INVALID", "E_PATH_NON_CONFORMING_SCHEME", "default_encoding"), _INTERNAL),
    "celery.backends.rpc": {"BacklogLimitExceeded": "reads all of a task's messages"},
    "celery.bin.multi": {"MultiTool": "has the command canvas multi"},
    "celery.bin.base": {
        "CLIContext": "has a context of its own: a command's app is ctx.obj.app",
        "consume_preload_options": "has app.user_options", "handle_remote_command_error": _INTERNAL,
    },
    "celery.bin.celery": dict.fromkeys(
        ("VERSION_BANNER", "UNABLE_TO_LOAD_APP_MODULE_NOT_FOUND", "UNABLE_TO_LOAD_APP_ERROR_OCCURRED",
         "UNABLE_TO_LOAD_APP_APP_MISSING", "WRONG_APP_OPTION_USAGE_MESSAGE"), "has texts of its own"),
    "celery.bin.control": {"EX_UNAVAILABLE": "ends with code 69, too"},
    "celery.bin.worker": {
        **dict.fromkeys(("AUTO_CONCURRENCY", "AUTOSCALE", "Autoscale", "CELERY_BEAT", "CeleryBeat", "C_FAKEFORK",
                         "HOSTNAME", "Hostname", "WORKERS_POOL", "WorkersPool", "EX_FAILURE", "EX_OK"), _INTERNAL),
        "detach": "detaches by canvas worker -D",
    },
    "celery.bootsteps": {"Blueprint": "has one order of steps, which their requires give"},
    "celery.app.task": {"TaskType": "makes classes of tasks by Python's own means"},
    "celery.fixups.django": {"DjangoWorkerFixup": "has DjangoFixup"},
    "celery.loaders.base": dict.fromkeys(("autodiscover_tasks", "find_related_module"), "has app.autodiscover_tasks"),
    "celery.contrib.pytest": {
        "NO_WORKER": "starts its workers", "pytest_configure": "has a plugin", "TYPE_CHECKING": "has typing",
    },
    "celery.contrib.testing.worker": dict.fromkeys(
        ("TestWorkController", "WORKER_LOGLEVEL", "setup_app_for_worker"), "has start_worker"),
    "celery.events": dict.fromkeys(("event_exchange", "get_exchange"), "has the setting event_exchange"),
    "celery.events.event": dict.fromkeys(("event_exchange", "get_exchange"), "has the setting event_exchange"),
    "celery.platforms": {
        "DaemonContext": "detaches by canvas worker -D", "detached": "detaches by canvas worker -D",
        **dict.fromkeys(("maybe_drop_privileges", "setgroups", "initgroups"), "has --uid and --gid"),
        "close_open_fds": _INTERNAL, "get_fdmax": _INTERNAL, "fd_by_path": _INTERNAL,
        "set_mp_process_title": "leaves titles of processes as they are",
    },
    "celery.utils.collections": {
        "BufferMap": _INTERNAL, "Evictable": _INTERNAL, "Messagebuffer": _INTERNAL, "ConfigurationView": "has app.conf",
    },
    "celery.utils.saferepr": {"reprstream": _INTERNAL},
    "celery.utils.sysinfo": dict.fromkeys(("CpuBudget", "cgroup_cpu_quota", "cpu_budget"), "has worker -c auto"),
    "celery.utils.threads": {
        "LocalManager": "has contextvars", "bound_open_broker_sockets": "has broker_connection_timeout",
    },
    "celery.utils.timer2": {"Schedule": "has Timer"},
    "celery.worker.autoscale": {"Autoscaler": "changes the number of tasks itself: --autoscale"},
    "celery.worker.consumer.consumer": {"dump_body": _INTERNAL},
    "celery.worker.control": {
        **dict.fromkeys(("revoke", "rate_limit", "time_limit", "shutdown", "stats"), "has app.control"),
    },
    "celery.worker.request": {"create_request_cls": "has Request"},
    "celery.worker.strategy": {
        "default": "takes messages without strategies, and calls none; use signals or the hooks of Task",
    },
    "celery.worker.state": {
        **dict.fromkeys(("task_reserved", "task_accepted", "task_ready", "task_scheduled"), "counts tasks itself"),
        "Persistent": "keeps revocations in the broker", "merge_revoked": "keeps revocations in the broker",
    },
}  # fmt: skip
"""By module that canvas serves, names that it does not have there, with such words."""
