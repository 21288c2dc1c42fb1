"""The modules of Celery and kombu that canvas serves, and where their names are."""

CELERY, KOMBU = "celery", "kombu"

ALIASES = {
    "celery.exceptions": "canvas.exceptions",
    "celery.result": "canvas.result",
    "celery.schedules": "canvas.schedules",
    "celery.signals": "canvas.signals",
    "celery.states": "canvas.model.states",
}
"""Modules of Celery that are modules of canvas."""


def _from(module: str, names: str) -> dict[str, str]:
    """The places of ``names``, which ``module`` has."""
    return {name: f"{module}:{name}" for name in names.split()}


_VERSION = _from("canvas.celery_names.version", "SERIES VERSION VERSION_BANNER __version__ version_info version_info_t")
_COMPOSING = _from("canvas", "Signature chain chord chunks group maybe_signature signature subtask xmap xstarmap")
_APPS = {"Celery": "canvas:Canvas", "shared_task": "canvas:shared_task"}
_CURRENT = {
    **_from("canvas", "current_app current_task"),
    "get_current_app": "canvas.context:current_app",
    "get_current_task": "canvas.context:current_task",
    "get_current_worker_task": "canvas.context:current_task",
    "set_default_app": "canvas.context:set_current_app",
}
_LOGS = {
    **_from("canvas.log", "ColorFormatter get_task_logger"),
    **_from("canvas.celery_names.logs", "LOG_LEVELS base_logger get_logger mlevel task_logger"),
}
_NODES = _from(
    "canvas.celery_names.nodenames",
    "anon_nodename default_nodename gethostname host_format node_format nodename nodesplit worker_direct",
)
_IMPORTS = _from("canvas.celery_names.imports", "gen_task_name import_from_cwd instantiate qualname symbol_by_name")
_LISTS = _from("canvas.celery_names.functional", "chunks dictfilter first maybe_list memoize noop padlist uniq")
_COMMANDS = _from("canvas.worker.control.user_commands", "control_command inspect_command")

MEMBERS: dict[str, dict[str, str]] = {
    "celery": {
        **_APPS,
        **_COMPOSING,
        **_VERSION,
        **_from("canvas", "Task current_app current_task uuid"),
        "bugreport": "canvas.celery_names.apps:bugreport",
    },
    "celery._state": _CURRENT,
    "celery.app": {**_APPS, **_from("canvas.celery_names.apps", "app_or_default bugreport")},
    "celery.app.base": {"Celery": "canvas:Canvas"},
    "celery.app.control": _from("canvas.remote.control", "Control") | _from("canvas.remote.inspect", "Inspect"),
    "celery.app.events": _from("canvas.remote.events", "Events"),
    "celery.app.log": _from("canvas.log", "TaskFormatter"),
    "celery.app.registry": _from("canvas.app.registry", "TaskRegistry"),
    "celery.app.task": {"Task": "canvas:Task", "Context": "canvas.model.request:Request"},
    "celery.bin": {},
    "celery.bin.celery": {"main": "canvas.celery_names.apps:main", "celery": "canvas.cli.main:canvas"},
    "celery.canvas": {
        **_COMPOSING,
        **_from("canvas", "StampingVisitor"),
        "_chain": "canvas:chain",
        "_chord": "canvas:chord",
    },
    "celery.contrib": {},
    "celery.contrib.abortable": _from("canvas.celery_names.abortable", "ABORTED AbortableAsyncResult AbortableTask"),
    "celery.contrib.django": {},
    "celery.contrib.django.task": _from("canvas.integrations.django", "DjangoTask"),
    "celery.fixups": {},
    "celery.fixups.django": _from("canvas.integrations.django", "DjangoFixup fixup"),
    "celery.local": _from("canvas.context", "Proxy"),
    "celery.utils": {
        **_from("canvas.celery_names.nodenames", "nodename nodesplit worker_direct"),
        **_from("canvas.celery_names.imports", "gen_task_name import_from_cwd instantiate"),
        **_from("canvas.celery_names.functional", "chunks memoize noop"),
        "LOG_LEVELS": "canvas.celery_names.logs:LOG_LEVELS",
        "cached_property": "functools:cached_property",
        "gen_unique_id": "canvas:uuid",
        "uuid": "canvas:uuid",
    },
    "celery.utils.dispatch": _from("canvas.signals.signal", "Signal"),
    "celery.utils.functional": _LISTS,
    "celery.utils.imports": _IMPORTS,
    "celery.utils.log": _LOGS,
    "celery.utils.nodenames": _NODES,
    "celery.utils.time": {
        **_from("canvas.celery_names.times", "get_exponential_backoff_interval maybe_iso8601 maybe_timedelta rate"),
        **_from("canvas.schedules.base", "is_naive maybe_make_aware"),
        **_from("canvas.schedules.crontab", "ffwd"),
    },
    "celery.worker": {},
    "celery.worker.control": _COMMANDS,
    "kombu": _from("canvas.celery_names.queues", "Exchange Queue binding"),
    "kombu.common": _from("canvas.celery_names.queues", "Broadcast"),
    "kombu.entity": _from("canvas.celery_names.queues", "Exchange Queue binding"),
    "kombu.exceptions": {
        **_from("canvas.errors", "DecodeError EncodeError OperationalError"),
        "KombuError": "canvas.errors:CanvasError",
    },
    "kombu.utils": {"cached_property": "functools:cached_property", "uuid": "canvas:uuid"},
    "kombu.utils.uuid": {"uuid": "canvas:uuid"},
    "kombu.utils.url": _from("canvas.celery_names.queues", "safequote"),
}  # fmt: skip
"""Modules that hold objects of canvas: by module, where each name is."""

WITHOUT = {
    "celery.app.amqp": "has no producers of its own; send with task.apply_async or app.send_task",
    "celery.app.trace": "runs tasks in its own pipeline; use signals or the hooks of Task",
    "celery.beat": "keeps schedules in the store; use app.schedule, or canvas beat",
    "celery.bootsteps": "has no bootsteps; use the signals worker_init, worker_ready and worker_shutting_down",
    "celery.concurrency": "chooses pools by name: -P solo, threads, prefork or asyncio",
    "celery.loaders": "has no loaders; use app.config_from_object and the settings imports and include",
    "celery.security": "signs messages by the setting message_signing_key",
    "celery.worker.consumer": "has no consumer to extend; use signals, or task_routes and queues",
    "celery.worker.request": "has no Request class to extend; use signals or the hooks of Task",
    "celery.worker.state": "reports what a worker does through app.control.inspect()",
    "kombu.serialization": "takes serializers from the settings; install kombu to use its registry",
}
"""By module that canvas does not have, the words that follow "canvas" in its error."""
