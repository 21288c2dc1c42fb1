"""The modules of Celery and kombu that canvas serves, and where their names are."""

_PARTS = "canvas.celery_names.parts"
CELERY, KOMBU = "celery", "kombu"

ALIASES = {
    "celery.exceptions": "canvas.exceptions",
    "celery.result": "canvas.result",
    "celery.schedules": "canvas.schedules",
    "celery.signals": "canvas.signals",
    "celery.states": "canvas.model.states",
    "celery.worker.state": "canvas.worker.steps.state",
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
    **_from("canvas.celery_names.utils.logs", "LOG_LEVELS base_logger get_logger mlevel task_logger"),
}
_NODES = _from(
    "canvas.celery_names.utils.nodenames",
    "anon_nodename default_nodename gethostname host_format node_format nodename nodesplit worker_direct",
)
_IMPORTS = _from(
    "canvas.celery_names.utils.imports", "gen_task_name import_from_cwd instantiate qualname symbol_by_name"
)
_LISTS = _from("canvas.celery_names.utils.functional", "chunks dictfilter first maybe_list memoize noop padlist uniq")
_STEPS = "canvas.worker.steps"
_COMPONENTS = f"{_STEPS}.components"
_CONSUMER = _from(_COMPONENTS, "Agent Connection Consumer Control Events Gossip Heart Mingle Tasks")
_COMMANDS = _from("canvas.worker.control.user_commands", "control_command inspect_command")

MEMBERS: dict[str, dict[str, str]] = {
    "celery": {
        **_APPS,
        **_COMPOSING,
        **_VERSION,
        **_from("canvas", "Task current_app current_task uuid"),
        "bugreport": "canvas.celery_names.parts.apps:bugreport",
    },
    "celery._state": _CURRENT,
    "celery.app": {**_APPS, **_from("canvas.celery_names.parts.apps", "app_or_default bugreport")},
    "celery.app.amqp": _from("canvas.celery_names.parts.amqp", "AMQP Queues"),
    "celery.app.base": {"Celery": "canvas:Canvas"},
    "celery.app.control": _from("canvas.remote.control", "Control") | _from("canvas.remote.inspect", "Inspect"),
    "celery.app.events": _from("canvas.remote.events", "Events"),
    "celery.app.log": _from("canvas.log", "TaskFormatter") | _from(f"{_PARTS}.logging_setup", "Logging"),
    "celery.app.registry": _from("canvas.app.registry", "TaskRegistry"),
    "celery.app.task": {"Task": "canvas:Task", "Context": "canvas.model.request:Request"},
    "celery.bin": {},
    "celery.bin.celery": {"main": "canvas.celery_names.parts.apps:main", "celery": "canvas.cli.main:canvas"},
    "celery.apps": {},
    "celery.apps.beat": _from(f"{_PARTS}.programs", "Beat"),
    "celery.apps.worker": _from(f"{_PARTS}.programs", "Worker"),
    "celery.bootsteps": _from(f"{_STEPS}.bootsteps", "ConsumerStep StartStopStep Step"),
    "celery.canvas": {
        **_COMPOSING,
        **_from("canvas", "StampingVisitor"),
        "_chain": "canvas:chain",
        "_chord": "canvas:chord",
    },
    "celery.contrib": {},
    "celery.contrib.abortable": _from(f"{_PARTS}.abortable", "ABORTED AbortableAsyncResult AbortableTask"),
    "celery.contrib.django": {},
    "celery.contrib.django.task": _from("canvas.integrations.django", "DjangoTask"),
    "celery.events": {
        "Event": "builtins:dict",
        **_from("canvas.remote.event_programs", "EventDispatcher EventReceiver"),
    },
    "celery.events.dispatcher": _from("canvas.remote.event_programs", "EventDispatcher"),
    "celery.events.receiver": _from("canvas.remote.event_programs", "EventReceiver"),
    "celery.events.snapshot": _from(f"{_PARTS}.snapshot", "Polaroid evcam"),
    "celery.events.state": {
        **_from("canvas.remote.cluster_entries", "HEARTBEAT_EXPIRE_WINDOW TASK_EVENT_TO_STATE heartbeat_expires"),
        **_from("canvas.remote.cluster_entries", "Task Worker"),
        "State": "canvas.remote.cluster_state:State",
    },
    "celery.fixups": {},
    "celery.fixups.django": _from("canvas.integrations.django", "DjangoFixup fixup"),
    "celery.loaders": _from(f"{_PARTS}.loaders", "get_loader_cls"),
    "celery.loaders.app": _from(f"{_PARTS}.loaders", "AppLoader"),
    "celery.loaders.base": _from(f"{_PARTS}.loaders", "BaseLoader"),
    "celery.local": _from("canvas.context", "Proxy"),
    "celery.utils": {
        **_from("canvas.celery_names.utils.nodenames", "nodename nodesplit worker_direct"),
        **_from("canvas.celery_names.utils.imports", "gen_task_name import_from_cwd instantiate"),
        **_from("canvas.celery_names.utils.functional", "chunks memoize noop"),
        "LOG_LEVELS": "canvas.celery_names.utils.logs:LOG_LEVELS",
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
        **_from("canvas.celery_names.utils.times", "get_exponential_backoff_interval maybe_iso8601"),
        **_from("canvas.celery_names.utils.times", "maybe_timedelta rate"),
        **_from("canvas.schedules.base", "is_naive maybe_make_aware"),
        **_from("canvas.schedules.crontab", "ffwd"),
    },
    "celery.utils.timer2": _from(f"{_STEPS}.timer", "Entry Timer to_timestamp"),
    "celery.worker": {"WorkController": f"{_PARTS}.programs:Worker"},
    "celery.worker.components": _from(_COMPONENTS, "Beat Consumer Hub Pool StateDB Timer"),
    "celery.worker.consumer": _CONSUMER,
    **{
        f"celery.worker.consumer.{module}": _from(_COMPONENTS, names)
        for module, names in {
            "agent": "Agent", "connection": "Connection", "consumer": "Consumer Evloop", "control": "Control",
            "delayed_delivery": "DelayedDelivery", "events": "Events", "gossip": "Gossip", "heart": "Heart",
            "mingle": "Mingle", "tasks": "Tasks",
        }.items()
    },
    "celery.worker.control": _COMMANDS,
    "celery.worker.request": _from(f"{_STEPS}.request", "Request"),
    "celery.worker.worker": {"WorkController": f"{_PARTS}.programs:Worker"},
    "kombu": _from("canvas.celery_names.parts.queues", "Exchange Queue binding"),
    "kombu.common": _from("canvas.celery_names.parts.queues", "Broadcast"),
    "kombu.entity": _from("canvas.celery_names.parts.queues", "Exchange Queue binding"),
    "kombu.exceptions": {
        **_from("canvas.errors", "DecodeError EncodeError OperationalError"),
        "KombuError": "canvas.errors:CanvasError",
    },
    "kombu.serialization": _from("canvas.wire.codecs", "register unregister"),
    "kombu.utils": {"cached_property": "functools:cached_property", "uuid": "canvas:uuid"},
    "kombu.utils.uuid": {"uuid": "canvas:uuid"},
    "kombu.utils.url": _from("canvas.celery_names.parts.queues", "safequote"),
}  # fmt: skip
"""Modules that hold objects of canvas: by module, where each name is."""

WITHOUT = {
    "celery.app.trace": "runs tasks in its own pipeline; use signals or the hooks of Task",
    "celery.beat": "keeps schedules in the store; use app.schedule, or canvas beat",
    "celery.concurrency": "chooses pools by name: -P solo, threads, prefork or asyncio",
    "celery.security": "signs messages by the setting message_signing_key",
    "celery.worker.strategy": "takes messages by itself, and calls no strategies; use signals or the hooks of Task",
}
"""By module that canvas does not have, the words that follow "canvas" in its error."""
