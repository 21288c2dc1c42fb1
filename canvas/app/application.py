"""The app: owns settings, tasks and the driver; hands out signatures, results and everything else."""

import importlib
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar
from zoneinfo import ZoneInfo

from canvas import result as handles
from canvas.app import builtins, shared_tasks
from canvas.app.registry import TaskRegistry, task_name
from canvas.caller_warnings import warn_caller
from canvas.config.config import Config, imported
from canvas.config.settings import SETTINGS
from canvas.context import NO_APP, called_task, current_request, set_current_app
from canvas.drivers import open_driver
from canvas.drivers.base import Driver
from canvas.errors import AlreadyRegistered, AlwaysEagerIgnored, ConfigurationError
from canvas.masking import masked_url
from canvas.model.compiled import Plan
from canvas.model.ids import new_id
from canvas.primitives.cycles import too_deep
from canvas.primitives.signature import Signature, maybe_signature, signature
from canvas.producer.message_builder import Lineage, MessageBuilder
from canvas.producer.routing import Router, router_of
from canvas.producer.sender import Sender
from canvas.result.backend import Backend
from canvas.task import task as task_module
from canvas.task.arguments import check_call
from canvas.task.option_names import warn_of_task_options
from canvas.task.pydantic_models import Models
from canvas.telemetry import emit
from canvas.wire.signing import Signer, signer
from canvas.workflows.store import RunStore, call_once, run_lifetimes

F = TypeVar("F", bound=Callable[..., Any])

if TYPE_CHECKING:
    from canvas.integrations.django import DjangoFixup
    from canvas.remote.control import Control
    from canvas.remote.events import Events, SentEvents
    from canvas.signals import Signal
    from canvas.workflows.builder import Workflow
    from canvas.workflows.run import Run

_LEAST_PATIENCE = 5.0
"""Seconds that an answer is waited for at least."""
_SOCKET_SETTINGS = ("socket_timeout", "socket_connect_timeout", "socket_keepalive", "max_connections")
"""Settings of the results' connections, after ``redis_``."""


_ROUTING = ("router", "client")
_ADDRESS = ("driver", "backend", "runs")
_MADE_FROM = {
    **dict.fromkeys(("task_routes", "task_queues", "task_create_missing_queues"), _ROUTING),
    **dict.fromkeys(("task_default_queue", "task_default_exchange", "task_default_exchange_type"), _ROUTING),
    "task_default_routing_key": _ROUTING,
    **dict.fromkeys(("broker_url", "broker_use_ssl", "broker_transport_options"), _ADDRESS),
    **dict.fromkeys(("result_backend", "redis_backend_use_ssl", "result_backend_transport_options"), _ADDRESS),
    "accept_content": ("accept_content", "backend"),
    "result_accept_content": ("backend",),
    "result_serializer": ("backend",),
    "task_message_max_depth": ("backend",),
    "task_serializer": ("runs",),
    "workflow_run_expires": ("runs",),
    "message_signing_keys": ("signer", "client", "runs"),
    "message_signature_required": ("signer", "client", "runs"),
}
"""By setting: the attributes of an app that are made from it at first use."""
_HOLDS_SETTINGS = ("router", "client", "backend", "runs", "accept_content", "signer")


def _signal(name: str) -> "cached_property[Signal]":
    def make(app: "Canvas") -> "Signal":
        # Most programs listen to none of them.
        from canvas.signals import Signal

        return Signal(f"app.{name}")

    return cached_property(make)


class Canvas:
    """An application: ``Canvas("shop", broker="redis://…", backend="redis://…")``. Its arguments are in Celery's order.

    ``main`` names tasks defined in ``__main__``. Further keyword arguments, and ``changes``, are settings. Settings may
    also come from ``config_from_object``, the environment (``CANVAS_…``) and assignment to ``app.conf``.
    ``task_cls`` is the base of tasks, or its name (``"proj.tasks:Base"``); ``strict_typing=False`` leaves arguments
    unchecked where a task does not say otherwise; with ``autofinalize=False`` tasks wait for ``finalize``.
    """

    task_cls: type[task_module.Task[Any]] | str = task_module.Task

    def __init__(
        self,
        main: str | None = None,
        loader: Any = None,
        backend: Any = None,
        amqp: Any = None,
        events: Any = None,
        log: Any = None,
        control: Any = None,
        set_as_current: bool = True,
        tasks: Any = None,
        broker: Any = None,
        include: Iterable[str] | None = None,
        changes: Mapping[str, Any] | None = None,
        config_source: Any = None,
        fixups: Any = None,
        task_cls: type[task_module.Task[Any]] | str | None = None,
        autofinalize: bool = True,
        namespace: str | None = None,
        strict_typing: bool = True,
        config_source_silent: bool = False,
        **settings: Any,
    ) -> None:
        parts = {
            "loader": loader, "amqp": amqp, "events": events, "log": log, "control": control, "tasks": tasks,
            "fixups": fixups,
        }  # fmt: skip
        self._refuse_parts(parts)
        self.main = main
        self.autofinalize = autofinalize
        self.strict_typing = strict_typing
        self._overrides = {**(changes or {}), **settings}
        self._given(broker_url=broker, result_backend=backend)
        if include is not None:
            self._overrides["include"] = list(include)
        self._source = (config_source, namespace)
        self._source_silent = config_source_silent
        self._tasks = TaskRegistry(self.register_task)
        self._unbound: list[task_module.Task[Any]] = []
        self._lock = threading.RLock()
        self.clock_offset = 0.0
        """Seconds by which the broker's clock is ahead of this machine's, as far as a worker knows."""
        self._finalized = self._finalizing = self._configured = False
        self._discover: list[Callable[[], None]] = []
        self._local_oid = threading.local()
        self._django: DjangoFixup | None = None
        if os.environ.get("DJANGO_SETTINGS_MODULE"):
            from canvas.integrations.django import DjangoTask, fixup

            self._django = fixup(self)
            if self._django is not None and self.task_cls is task_module.Task:
                self.task_cls = DjangoTask
        if task_cls is not None:
            self.task_cls = task_cls
        if set_as_current:
            set_current_app(self)
        builtins.register(self)
        shared_tasks.bind_app(self)
        self.on_init()

    @staticmethod
    def _refuse_parts(parts: Mapping[str, Any]) -> None:
        """Warn of parts of Celery's that canvas has no place for. Raises ConfigurationError for a URL as ``loader``."""
        if isinstance(parts["loader"], str) and "://" in parts["loader"]:
            raise ConfigurationError(
                f"Canvas: the second argument is Celery's loader; got {masked_url(parts['loader'])!r}: "
                "give the broker by name, as in Canvas('shop', broker='redis://…')"
            )
        for name in (name for name, part in parts.items() if part is not None):
            warn_caller(f"Canvas: {name}= has no meaning in canvas and is ignored")

    def on_init(self) -> None:
        """For subclasses: called when the app is made."""

    def _given(self, **settings: Any) -> None:
        self._overrides.update({key: value for key, value in settings.items() if value is not None})

    @property
    def Task(self) -> type[task_module.Task[Any]]:
        """The base of the tasks that are made from functions."""
        if isinstance(self.task_cls, str):
            self.task_cls = imported(self.task_cls)
        return self.task_cls  # type: ignore[return-value]

    @Task.setter
    def Task(self, base: type[task_module.Task[Any]]) -> None:
        self.task_cls = base

    # -- settings

    @cached_property
    def conf(self) -> Config:
        """The settings; assign to change them."""
        source, namespace = self._source
        if isinstance(source, str) and self._source_silent:
            try:
                source = imported(source)
            except (ImportError, AttributeError):
                source = None
        conf = Config.load(obj=source, namespace=namespace, environ=os.environ, overrides=self._overrides)
        conf.bind_to(self._setting_changed)
        return conf

    def _setting_changed(self, name: str) -> None:
        """Make again, at the next use, what was made from the setting's old value."""
        for made in _MADE_FROM.get(name, ()):
            self.__dict__.pop(made, None)

    def config_from_object(
        self, obj: Any, silent: bool = False, force: bool = False, namespace: str | None = None
    ) -> None:
        """Take settings from a module, an object, a mapping, or the dotted name of one. What has been assigned to
        ``conf`` stays.

        Raises ConfigurationError for unknown or ill-typed settings, unless ``silent``.
        """
        self._source = (obj, namespace)
        before = self.__dict__.pop("conf", None)
        if before is not None or force:
            try:
                conf = self.conf
            except ConfigurationError:
                if not silent:
                    raise
                self._source = (None, None)
                conf = self.conf
            conf.update(before.assigned() if before is not None else {})
            for made in _HOLDS_SETTINGS:
                self.__dict__.pop(made, None)
            for name in SETTINGS:
                if before is not None and conf[name] != before[name]:
                    self._setting_changed(name)

    def config_from_envvar(self, variable: str, silent: bool = False, force: bool = False) -> None:
        """Take settings from the module that an environment variable names."""
        module = os.environ.get(variable)
        if module:
            self.config_from_object(module, force=force)
        elif not silent:
            raise ConfigurationError(f"environment variable {variable} is not set; expected a module name in it")

    def add_defaults(self, settings: Any) -> None:
        """Settings, a mapping or a function that makes one, for what nobody has set."""
        for name, value in (settings() if callable(settings) else settings).items():
            self.conf.setdefault(name, value)

    @property
    def timezone(self) -> tzinfo:
        name = self.conf.timezone
        if isinstance(name, tzinfo):
            return name
        return UTC if name in (None, "UTC") else ZoneInfo(name)

    def now(self) -> datetime:
        """The time, in the app's zone; in a worker by the broker's clock, should this machine's be wrong."""
        now = datetime.now(self.timezone)
        return now + timedelta(seconds=self.clock_offset) if self.clock_offset else now

    @property
    def hostname(self) -> str:
        return socket.gethostname()

    # -- tasks

    def task(self, *args: Any, **options: Any) -> Any:
        """Decorator: make a function a task. ``@app.task`` or ``@app.task(bind=True, queue="…")``.

        Raises AlreadyRegistered when another function has that name.
        """
        options.pop("lazy", None)
        share = options.pop("shared", False)

        def make(function: Callable[..., Any]) -> task_module.Task[Any]:
            if share:
                shared_tasks.define(function, options)
            return self.define_task(function, **options)

        if len(args) == 1 and callable(args[0]):
            return make(args[0])
        if args:
            raise TypeError(f"@app.task takes a function or keyword options; got {args!r:.100}")
        return make

    def define_task(
        self, function: Callable[..., Any], name: str | None = None, base: type[task_module.Task[Any]] | None = None,
        bind: bool = False, pydantic: bool = False, pydantic_strict: bool = False, pydantic_context: Any = None,
        pydantic_dump_kwargs: Any = None, keep_existing: bool = False, **options: Any,
    ) -> task_module.Task[Any]:  # fmt: skip
        """The task of a function. ``keep_existing``: a task of another function that has the name stays.

        Raises AlreadyRegistered.
        """
        if pydantic:
            options["models"] = Models(function, bind, pydantic_strict, pydantic_context, pydantic_dump_kwargs)
        run = options["models"].wrapped() if pydantic else function
        name = name or self.gen_task_name(function.__name__, function.__module__)
        existing = self._tasks.get(name)
        if existing is not None:
            if getattr(existing, "__wrapped__", None) is function or not _same_place(existing, function):
                return existing if keep_existing else self._same_or_raise(existing, function, name)
            del self._tasks[name]
        warn_of_task_options(name, options, base or self.Task)
        attributes = {
            "name": name,
            "abstract": False,
            "bound": bind,
            "run": run if bind else staticmethod(run),
            "__wrapped__": staticmethod(function),
            "__doc__": function.__doc__,
            "__name__": function.__name__,
            "__module__": function.__module__,
            "__annotations__": getattr(function, "__annotations__", {}),
            **{key: staticmethod(value) if _chooses(key, value) else value for key, value in options.items()},
        }
        task: task_module.Task[Any] = type(function.__name__, (base or self.Task,), attributes)()
        self.register_task(task)
        return task

    def _same_or_raise(
        self, existing: task_module.Task[Any], function: Callable[..., Any], name: str
    ) -> task_module.Task[Any]:
        if getattr(existing, "__wrapped__", None) is function:
            return existing
        raise AlreadyRegistered(
            f"task name {name!r} is taken by {existing.__module__}.{type(existing).__name__}; "
            f"give {function.__module__}.{function.__qualname__} another name="
        )

    def register_task(self, task: Any, **options: Any) -> Any:
        """Register a task instance or class."""
        if isinstance(task, type):
            task = task()
        if not task.name:
            task.name = self.gen_task_name(type(task).__name__, type(task).__module__)
        with self._lock:
            self._tasks[task.name] = task
            task.app = self
            if self._finalized:
                task.bind(self)
            else:
                self._unbound.append(task)
        return task

    def gen_task_name(self, name: str, module: str | None) -> str:
        return task_name(self.main, name, module)

    @property
    def tasks(self) -> TaskRegistry:
        """Every registered task by name."""
        if not self._finalized:
            self.finalize(auto=True)
        return self._tasks

    def finalize(self, auto: bool = False) -> None:
        """Bind every task to the settings; done by itself (``auto``) at first use. ``on_configure`` and
        ``on_after_configure`` are sent before, ``on_after_finalize`` after.

        Raises RuntimeError where it is not to be done by itself.
        """
        with self._lock:
            if self._finalized or self._finalizing:
                return
            if auto and not self.autofinalize:
                raise RuntimeError("Contract breach: app not finalized; call app.finalize() first (autofinalize=False)")
            self._finalizing = True
            try:
                self._configure()
                while self._unbound:
                    self._unbound.pop().bind(self)
                self._finalized = True
                self.tell("on_after_finalize")
            finally:
                self._finalizing = False

    def _configure(self) -> None:
        """Send what is sent before tasks take the settings' values: receivers may change the settings."""
        if not self._configured:
            self._configured = True
            self.tell("on_configure")
            self.tell("on_after_configure", source=self.conf)

    def bind_task(self, task: task_module.Task[Any]) -> None:
        """Give one task the settings' values now, before the app is finalized."""
        with self._lock:
            if task in self._unbound:
                self._unbound.remove(task)
            self._configure()
            task.bind(self)

    on_configure = _signal("on_configure")
    on_after_configure = _signal("on_after_configure")
    """Sent with ``source``, the settings, before these reach the tasks."""
    on_after_finalize = _signal("on_after_finalize")
    on_after_fork = _signal("on_after_fork")
    """Sent in each new process of a prefork pool."""

    def tell(self, name: str, **about: Any) -> None:
        """Send a signal, if anybody has asked for it."""
        if name in self.__dict__:
            self.__dict__[name].send(sender=self, **about)

    def autodiscover_tasks(
        self, packages: Iterable[str] | Callable[[], Iterable[str]] | None = None,
        related_name: str | None = "tasks", force: bool = False,
    ) -> None:  # fmt: skip
        """Import ``<package>.<related_name>`` of each package, when a worker starts (or now, with ``force``); without
        ``packages``, of Django's apps."""
        if packages is None and self._django is not None:
            packages = self._django.packages

        def discover() -> None:
            for package in packages() if callable(packages) else packages or ():
                _import_related(package, related_name)

        if force:
            discover()
        else:
            self._discover.append(discover)

    def import_task_modules(self) -> None:
        """Import what ``include``, ``imports`` and ``autodiscover_tasks`` name."""
        if self._django is not None:
            self._django.set_up()
        emit("app.importing", app=self)
        for module in (*(self.conf.include or ()), *(self.conf.imports or ())):
            importlib.import_module(module)
        while self._discover:
            self._discover.pop(0)()
        self.finalize()

    def add_periodic_task(
        self, schedule: Any, sig: Any, args: Iterable[Any] = (), kwargs: Mapping[str, Any] | None = None,
        name: str | None = None, **options: Any,
    ) -> str:  # fmt: skip
        """Enter ``sig`` in ``beat_schedule``; the entry's name. Nothing here runs a schedule: that is Celery's beat."""
        sig = maybe_signature(sig, self).clone(tuple(args), dict(kwargs or {}))
        entry = {"schedule": schedule, "task": sig.task, "args": sig.args, "kwargs": sig.kwargs}
        key = name or repr(sig)
        known = self.conf.changed().get("beat_schedule") or {}
        self.conf.update(beat_schedule={**known, key: {**entry, "options": {**sig.options, **options}}})
        return key

    # -- sending

    @property
    def oid(self) -> str:
        """Where this thread's replies go: one id per process and thread."""
        key = os.getpid()
        known = getattr(self._local_oid, "value", None)
        if known is None or known[0] != key:
            known = self._local_oid.value = (key, new_id())
        return known[1]

    @staticmethod
    def new_id() -> str:
        return new_id()

    @cached_property
    def router(self) -> Router:
        router = router_of(self.conf)
        router.tasks = self._tasks
        return router

    @cached_property
    def client(self) -> MessageBuilder:
        return MessageBuilder(self.conf, self.router, self._exec_options, self)

    def _exec_options(self, name: str) -> Mapping[str, Any]:
        task = self.tasks.get(name)
        return task.exec_options() if task is not None else {}

    def models_of(self, name: str) -> Models | None:
        """The pydantic models of a task that is registered here, where it has such."""
        task = self.tasks.get(name)
        return None if task is None else task.models

    @cached_property
    def accept_content(self) -> frozenset[str]:
        """The content types that messages may have."""
        return frozenset(self.conf.accept_content or ())

    @cached_property
    def signer(self) -> Signer:
        """Signs what is sent and kept, and checks what comes, by ``message_signing_keys``."""
        return signer(self.conf.message_signing_keys, self.conf.message_signature_required)

    @cached_property
    def sender(self) -> Sender:
        return Sender(self)

    @cached_property
    def events(self) -> "Events":
        """What workers and clients tell."""
        from canvas.remote.events import Events

        return Events(self)

    def open_runs(self, persist: Callable[[Callable[[], Any]], Any]) -> RunStore:
        """The runs of workflows, read and written by calls that ``persist`` makes."""
        conf = self.conf
        return RunStore(self.driver.results, conf.task_serializer, run_lifetimes(conf), persist, self.signer)

    @cached_property
    def runs(self) -> RunStore:
        return self.open_runs(call_once)

    def Workflow(self, name: str = "workflow") -> "Workflow":
        """A workflow of this app."""
        from canvas.workflows.builder import Workflow

        return Workflow(name, self)

    def workflow(self, run: str) -> "Run":
        """A workflow's run, by its id. Raises RunLost."""
        from canvas.workflows.run import Run

        return Run.find(self, run)

    @cached_property
    def sent_events(self) -> "SentEvents":
        from canvas.remote.events import SentEvents

        return SentEvents(self)

    def apply_signature(
        self, sig: Signature[Any], args: Iterable[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any]
    ) -> Any:
        """Compile ``sig`` and send what starts it; the handle of its result (``None`` for an empty chain)."""
        if self.conf.task_always_eager:
            return self._send_eagerly(sig, tuple(args), dict(kwargs), options)
        if self.sender.streams(sig):
            return self.sender.stream(sig, args, kwargs, options)
        try:
            plan = self.sender.plan(sig, args, kwargs, options)
        except RecursionError as exc:
            raise too_deep(sig) from exc
        if self.sends_itself and sig.subtask_type is None:
            return self.sender.send_by_name(plan.dispatches[0])
        return self.sender.send(sig, plan, options)

    async def aapply_signature(
        self, sig: Signature[Any], args: Iterable[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any]
    ) -> Any:
        """``apply_signature`` on an event loop."""
        if self.conf.task_always_eager:
            return self._send_eagerly(sig, tuple(args), dict(kwargs), options)
        if self.sends_itself:
            # A program on an event loop has imported it already; all others do without.
            import asyncio

            return await asyncio.to_thread(self.apply_signature, sig, args, kwargs, options)
        if self.sender.streams(sig):
            return await self.sender.astream(sig, args, kwargs, options)
        try:
            plan = self.sender.plan(sig, args, kwargs, options)
        except RecursionError as exc:
            raise too_deep(sig) from exc
        return await self.sender.asend(sig, plan, options)

    @property
    def sends_itself(self) -> bool:
        """Whether its class, or itself, has a ``send_task`` of its own, which sends tasks and signatures, too."""
        own = self.__dict__.get("send_task")
        patched = own is not None and getattr(own, "__func__", None) is not Canvas.send_task
        return patched or type(self).send_task is not Canvas.send_task

    def _send_eagerly(
        self, sig: Signature[Any], args: tuple[Any, ...], kwargs: dict[str, Any], options: Mapping[str, Any]
    ) -> Any:
        from canvas.execution.eager import send_eagerly

        return send_eagerly(self, sig, args, kwargs, dict(options))

    def apply_eagerly(
        self, sig: Signature[Any], args: tuple[Any, ...], kwargs: dict[str, Any], options: Mapping[str, Any]
    ) -> Any:
        """Run ``sig`` in this process; an EagerResult."""
        # Most programs run nothing in their own process.
        from canvas.execution.eager import apply_eagerly

        return apply_eagerly(self, sig, args, kwargs, dict(options))

    def plan(
        self,
        sig: Signature[Any],
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Plan:
        """What sending ``sig`` would send, without sending it."""
        return self.sender.plan(sig, args, kwargs or {}, options or {})

    def send_task(
        self, name: str, args: Iterable[Any] | None = None, kwargs: Mapping[str, Any] | None = None,
        countdown: float | None = None, eta: Any = None, task_id: str | None = None, producer: Any = None,
        connection: Any = None, router: Any = None, result_cls: Any = None, expires: Any = None,
        publisher: Any = None, link: Any = None, link_error: Any = None, add_to_parent: bool = True,
        group_id: str | None = None, group_index: int | None = None, retries: int = 0, chord: Any = None,
        reply_to: str | None = None, time_limit: float | None = None, soft_time_limit: float | None = None,
        root_id: str | None = None, parent_id: str | None = None, route_name: str | None = None,
        shadow: str | None = None, chain: Any = None, task_type: Any = None, replaced_task_nesting: int = 0,
        **options: Any,
    ) -> Any:  # fmt: skip
        """Send a task by name; it need not be registered here. Returns its AsyncResult.

        The options of a task that is registered here count, as in Celery; its arguments are not checked against it. A
        subclass that overrides this also sends the tasks and signatures of its app.
        """
        named = {
            "countdown": countdown, "eta": eta, "task_id": task_id, "producer": producer, "connection": connection,
            "router": router, "result_cls": result_cls, "expires": expires, "publisher": publisher, "link": link,
            "link_error": link_error, "group_id": group_id, "group_index": group_index, "retries": retries or None,
            "chord": chord, "reply_to": reply_to, "time_limit": time_limit, "soft_time_limit": soft_time_limit,
            "root_id": root_id, "parent_id": parent_id, "route_name": route_name, "shadow": shadow, "chain": chain,
            "replaced_task_nesting": replaced_task_nesting or None,
        }  # fmt: skip
        options.update((option, value) for option, value in named.items() if value is not None)
        if not add_to_parent:
            options["add_to_parent"] = False
        return self.sender.send(*self._by_name(name, args, kwargs, options), options)

    async def asend_task(
        self,
        name: str,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Any:
        """``send_task`` on an event loop; options by name only."""
        if self.sends_itself:
            # A program on an event loop has imported it already; all others do without.
            import asyncio

            return await asyncio.to_thread(lambda: self.send_task(name, args, kwargs, **options))
        return await self.sender.asend(*self._by_name(name, args, kwargs, options), options)

    def _by_name(self, name: str, args: Any, kwargs: Any, options: Mapping[str, Any]) -> tuple[Signature[Any], Plan]:
        check_call(name, args, kwargs)
        if self.conf.task_always_eager:
            warn_caller("task_always_eager has no effect on send_task", AlwaysEagerIgnored)
        sig: Signature[Any] = Signature(name, args, kwargs, app=self)
        return sig, self.sender.plan(sig, (), {}, options, typed=False)

    def signature(self, *args: Any, **kwargs: Any) -> Signature[Any]:
        """``signature(...)`` bound to this app."""
        kwargs["app"] = self
        made = signature(*args, **kwargs)
        made._app = self
        return made

    def ambient(self) -> Lineage:
        """What messages sent from here inherit from the running task."""
        request = current_request()
        if request is None:
            return Lineage()
        priority = None
        if self.conf.task_inherit_parent_priority:
            priority = (request.properties or {}).get("priority")
        return Lineage(request.root_id or request.id, request.id, priority)

    @property
    def current_task(self) -> task_module.Task[Any] | None:
        """The task that is running here, called as a function or not; ``None`` outside tasks."""
        return called_task() or self.current_worker_task

    @property
    def current_worker_task(self) -> task_module.Task[Any] | None:
        """The task that a worker runs here; ``None`` outside."""
        request = current_request()
        if request is None:
            return None
        return request.runs if request.runs is not None else self.tasks.get(request.task)

    # -- results

    @cached_property
    def backend(self) -> Backend:
        return Backend(self.driver.results, self.conf, self.now)

    @cached_property
    def AsyncResult(self) -> type[handles.AsyncResult]:
        """The class of handles on this app's tasks."""
        return handles.class_of_app(handles.AsyncResult, self)

    @cached_property
    def GroupResult(self) -> type[handles.GroupResult]:
        """The class of handles on this app's groups."""
        return handles.class_of_app(handles.GroupResult, self)

    @cached_property
    def ResultSet(self) -> type[handles.ResultSet]:
        """The class of sets of this app's results."""
        return handles.class_of_app(handles.ResultSet, self)

    # -- servers

    @cached_property
    def driver(self) -> Driver:
        """The connection to broker and results, opened at first use."""
        conf = self.conf
        changed = conf.changed()
        sockets = {name: changed[f"redis_{name}"] for name in _SOCKET_SETTINGS if f"redis_{name}" in changed}
        timeout = changed.get("broker_connection_timeout")
        connect = {} if timeout is None else {"socket_connect_timeout": float(timeout)}
        # A connection that leads nowhere is given up in time for a heartbeat on another.
        answer = {"socket_timeout": min(30.0, max(_LEAST_PATIENCE, conf.worker_lease_ttl / 3))}
        return open_driver(
            conf.broker_url or "redis://localhost:6379/0",
            conf.result_backend or None,
            broker_options={"ssl": conf.broker_use_ssl, **answer, **connect, **conf.broker_transport_options},
            result_options={
                "ssl": conf.redis_backend_use_ssl,
                **answer,
                **sockets,
                **conf.result_backend_transport_options,
            },
        )

    def start(self, argv: list[str] | None = None) -> None:
        """Run ``canvas`` for this app, with the program's arguments or these. Exits as that does."""
        command = imported("canvas.cli.main:canvas")
        sys.exit(command.main(sys.argv[1:] if argv is None else list(argv), obj=self, standalone_mode=False))

    def worker_main(self, argv: list[str] | None = None) -> None:
        """``start``, for ``worker``. Raises ValueError where ``argv`` is not about a worker."""
        argv = sys.argv[1:] if argv is None else list(argv)
        if "worker" not in argv:
            raise ValueError("expected the worker command in argv; app.start() runs the others")
        self.start(argv)

    def bugreport(self) -> str:
        """Versions, the platform, and the settings that were given, secrets masked: for bug reports."""
        # Most programs never report.
        from canvas.app.report import report

        return report(self.conf.table())

    @cached_property
    def control(self) -> "Control":
        from canvas.remote.control import Control

        return Control(self)

    def close(self) -> None:
        """Release connections; using the app again opens new ones."""
        driver = self.__dict__.pop("driver", None)
        for made in ("backend", "runs"):
            self.__dict__.pop(made, None)
        if driver is not None:
            driver.broker.close()
            if driver.results is not None:
                driver.results.close()

    def set_current(self) -> None:
        set_current_app(self)

    def set_default(self) -> None:
        set_current_app(self)

    def __enter__(self) -> "Canvas":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError(f"{self!r} cannot be pickled: import it where it is needed")

    def __repr__(self) -> str:
        return f"<Canvas {self.main or '__main__'}:{id(self):#x}>"


def _same_place(existing: Any, function: Callable[..., Any]) -> bool:
    """Whether both are the same definition, seen again (a module that was reloaded)."""
    old = getattr(existing, "__wrapped__", None)
    return old is not None and (old.__module__, old.__qualname__) == (
        function.__module__,
        function.__qualname__,
    )


def _import_related(package: str, related_name: str | None) -> None:
    """``package`` may also be a class in one, as Django names its apps."""
    try:
        importlib.import_module(package)
    except ModuleNotFoundError as exc:
        parent, _, name = package.rpartition(".")
        if exc.name != package or not parent or not hasattr(importlib.import_module(parent), name):
            raise
        package = parent.removesuffix(".apps")
    name = f"{package}.{related_name}" if related_name else package
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as exc:
        if exc.name != name:
            raise


def _chooses(option: str, value: Any) -> bool:
    """Functions of a call's arguments, not of its task: no methods."""
    return option in ("unique_key", "concurrency_key") and callable(value)


class _StandIn(Canvas):
    """The app of shared tasks that are called, or patched by a test, before there is another. It sends nothing."""

    def __init__(self) -> None:
        super().__init__(set_as_current=False)

    @property
    def driver(self) -> Driver:
        raise ConfigurationError(NO_APP)


shared_tasks.stand_in(_StandIn)
