"""How canvas' functions and classes take or have less than Celery's of the same name. The lists may only become shorter."""

_FIXTURE = "a fixture takes other fixtures"
_NAMED = "the name of a parameter that is given by place"
TAKE_LESS = {
    "celery.Celery.broker_connection": "kombu's options are taken by name",
    "celery.Celery.connection": "kombu's options are taken by name",
    "celery.Celery.subclass_with_self": "pickling needs no such arguments",
    "celery.Signature.apply_async": "route_name is read by nothing in Celery",
    "celery.chain.clone": "Celery's takes more arguments than it uses",
    "celery.chord.clone": "Celery's takes more arguments than it uses",
    "celery.maybe_patch_concurrency": "nothing is patched",
    "celery.app.registry.TaskRegistry.unregister": _NAMED,
    "celery.app.task.Context": "it is made of a message",
    "celery.app.task.Context.get": _NAMED,
    "celery.app.utils.Settings": "an app makes it",
    **dict.fromkeys((f"celery.app.utils.Settings.{name}" for name in ("add_defaults", "bind_to", "get", "pop", "setdefault")), _NAMED),
    "celery.app.utils.find_app": _NAMED,
    "celery.app.utils.sanitize_url": "passwords are masked in one way",
    "celery.beat.Service": "remote control is that of canvas beat",
    "celery.beat.Service.start": _NAMED,
    "celery.bin.base.CeleryDaemonCommand": "canvas worker has the options",
    "celery.contrib.pytest.celery_app": _FIXTURE,
    "celery.contrib.pytest.celery_session_app": _FIXTURE,
    "celery.contrib.pytest.celery_session_worker": _FIXTURE,
    "celery.contrib.pytest.celery_worker": _FIXTURE,
    "celery.contrib.rdb.Rdb.get_avail_port": "the skew is that of the process",
    "celery.events.EventDispatcher.publish": "Celery's names of further arguments are given",
    "celery.events.EventReceiver.event_from_message": "the skew is Celery's constant",
    "celery.events.state.Task.event": "the state is Celery's constant",
    "celery.exceptions.Retry": "further arguments are read by nothing in Celery",
    "celery.platforms.ignore_errno": "Celery's takes names that it does not use",
    "celery.contrib.abortable.AbortableAsyncResult.build_graph": "graphs are networkx's",
    "celery.result.AsyncResult.build_graph": "graphs are networkx's",
    "celery.result.EagerResult.build_graph": "graphs are networkx's",
    "celery.result.ResultSet": "ready_barrier belongs to Celery's promises",
    "celery.utils.collections.ChainMap": "Celery's takes names that it does not use",
    "celery.utils.iso8601.parse_iso8601": _NAMED,
}  # fmt: skip
"""What takes less, and why."""

_STATES = "None stands for them"
_EMPTY = "another empty value"
OTHER_DEFAULTS = {
    "celery.Celery.add_periodic_task": _EMPTY,
    "celery.Celery.send_task": "another object for an argument that is not given",
    "celery.Celery.setup_security": "the setting security_digest, which has Celery's default",
    "celery.chord": _EMPTY,
    **dict.fromkeys(("celery.Task.apply", "celery.contrib.abortable.AbortableTask.apply",
                     "celery.contrib.django.task.DjangoTask.apply"), "no retries"),
    **dict.fromkeys((f"celery.result.AsyncResult.{name}" for name in ("get", "wait")), _STATES),
    **dict.fromkeys((f"celery.contrib.abortable.AbortableAsyncResult.{name}" for name in ("get", "wait")), _STATES),
    "celery.app.control.Control": "an app makes it",
    "celery.app.events.Events": "an app makes it",
    "celery.contrib.rdb.Rdb": "None stands for them",
    "celery.contrib.testing.worker.start_worker": "the log of the tests is left alone",
    "celery.utils.cached_property": "a property without a function cannot be read",
    "celery.utils.text.simple_format": "another pattern of the same meaning",
    "celery.utils.timer2.Entry": _EMPTY,
    "celery.utils.timer2.to_timestamp": "None stands for UTC",
}  # fmt: skip
"""What has another default, and why."""

_LOADER = "cmdline_config_parser"
_TRACER = "handle_error_state handle_failure handle_ignore handle_reject handle_retry"
WITHOUT_ATTRIBUTES = {
    "celery.xmap": "TYPES election",
    "celery.xstarmap": "TYPES election",
    "celery.app.trace.TraceInfo": _TRACER,
    "celery.bin.base.DaemonOption": "daemon_setting",
    "celery.contrib.abortable.AbortableAsyncResult": "throw",
    "celery.contrib.abortable.AbortableTask": "retry_on_worker_lost",
    "celery.contrib.django.task.DjangoTask": "retry_on_worker_lost",
    "celery.fixups.django.DjangoFixup": "autodiscover_tasks install now on_import_modules on_worker_init worker_fixup",
    "celery.loaders.app.AppLoader": _LOADER,
    "celery.loaders.default.Loader": _LOADER,
    "celery.loaders.base.BaseLoader": _LOADER,
    "celery.utils.collections.LimitedSet": "max_heap_percent_overload",
    "celery.utils.term.colored": "iblue icyan igreen imagenta ired iwhite iyellow",  # found when they are read
    "celery.utils.threads.bgThread": "on_crash",
    "celery.utils.timer2.Entry": "tref",
}
"""The attributes of Celery's classes that canvas' do not have, for classes that ``table.CLASSES`` does not name."""
