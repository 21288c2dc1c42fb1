"""An app's tasks: how they are made of functions, registered, bound to the settings, and found in modules."""

import threading
from collections.abc import Callable, Coroutine, Iterable, Mapping
from functools import cached_property, partial
from inspect import isfunction
from typing import TYPE_CHECKING, Any, Literal, overload

from canvas.app import builtins, shared_tasks
from canvas.app.configuration import ConfiguredApp
from canvas.app.discovery import check_packages, import_modules, import_related_modules
from canvas.app.registry import TaskRegistry, task_name
from canvas.app.services import class_at
from canvas.caller_warnings import DuplicateTaskNameWarning, ends_in_caller, warn_caller, without_own_frames
from canvas.config.sources import imported
from canvas.errors import AlreadyRegistered
from canvas.task.arguments import P, R, check_bound
from canvas.task.definition_checks import (
    check_definition,
    refuse_decorated,
    warn_of_task_options,
    warn_of_wrapper,
)
from canvas.task.pydantic_models import Models
from canvas.task.task import Task
from canvas.telemetry import emit

if TYPE_CHECKING:
    from canvas.integrations.django import DjangoFixup
    from canvas.signals.signal import Signal
    from canvas.task.decorator_types import BoundDecorator, Decorator, OfBase, T, TaskOf

AnyTask = Task[Any]
_OF_PYDANTIC = ("pydantic_strict", "pydantic_context", "pydantic_dump_kwargs")


def task_of_function(
    function: Callable[..., Any], name: str, base: type[Task[Any]], options: Mapping[str, Any], bind: bool = False
) -> Task[Any]:
    """A new task, not yet registered, of a class derived from ``base``; ``options`` are its attributes and the options
    of its pydantic models."""
    attributes = {key: value for key, value in options.items() if key not in ("pydantic", *_OF_PYDANTIC)}
    run = function
    if bind:
        check_bound(name, function)
    if options.get("pydantic"):
        strict, context, dump = (options.get(key) for key in _OF_PYDANTIC)
        attributes["pydantic_models"] = Models(function, bind, bool(strict), context, dump)
        run = attributes["pydantic_models"].wrapped()
    warn_of_task_options(name, attributes, base)
    made = {
        "name": name,
        "abstract": False,
        "takes_itself": bind,
        "run": run if bind else staticmethod(run),
        "__wrapped__": staticmethod(function),
        "__doc__": function.__doc__,
        "__name__": function.__name__,
        "__module__": function.__module__,
        "__annotations__": getattr(function, "__annotations__", {}),
        **{key: staticmethod(value) if _is_key_function(key, value) else value for key, value in attributes.items()},
    }
    task: Task[Any] = type(function.__name__, (base,), made)()
    # In the class's namespace it would name the class alone.
    task.__dict__["__qualname__"] = getattr(function, "__qualname__", function.__name__)
    return task


def is_redefinition(existing: Task[Any], function: Callable[..., Any]) -> bool:
    """Whether ``function`` is the definition of ``existing`` again, as when its module is reloaded."""
    old = getattr(existing, "__wrapped__", None)
    if old is None or old is function:
        return False
    return bool((old.__module__, old.__qualname__) == (function.__module__, function.__qualname__))


def same_or_refused(existing: Task[Any], function: Callable[..., Any], name: str) -> Task[Any]:
    """``existing``, if it is the task of ``function``.

    If it is another function's, a program that takes canvas for Celery gets a warning and ``existing``, as Celery does
    it. In other programs that raises AlreadyRegistered.
    """
    if getattr(existing, "__wrapped__", None) is function:
        return existing
    what = f"task name {name!r} is taken by {existing.__module__}.{type(existing).__name__}; "
    remedy = f"give {function.__module__}.{function.__qualname__} another name="
    if not shared_tasks.by_default():
        raise AlreadyRegistered(what + remedy)
    warn_caller(f"{what}calls of the name run that. To have both, {remedy}", DuplicateTaskNameWarning)
    return existing


def _is_key_function(option: str, value: Any) -> bool:
    """Whether an option is a function of a call's arguments, which is not a method of its task."""
    return option in ("unique_key", "concurrency_key") and callable(value)


def _signal(name: str) -> "cached_property[Signal]":
    def make(app: "TaskDefinitions") -> "Signal":
        # Imported late: most programs listen to none of them.
        from canvas.signals.signal import Signal

        return Signal(f"app.{name}")

    return cached_property(make)


@ends_in_caller("task", "register_task")
class TaskDefinitions(ConfiguredApp):
    """An app with tasks. They take values from the settings when it is finalized."""

    main: str | None = None
    task_cls: type[AnyTask] | str = Task
    registry_cls: Any = TaskRegistry
    strict_typing: bool
    """Whether the arguments of calls are checked, for tasks without a ``typing`` of their own."""

    def __init__(
        self, main: str | None, autofinalize: bool, source: Any, namespace: str | None, silent: bool,
        overrides: Mapping[str, Any],
    ) -> None:  # fmt: skip
        super().__init__(source, namespace, silent, overrides)
        self.main = main
        self.autofinalize = autofinalize
        self.registry: TaskRegistry = class_at(self.registry_cls)(self.register_task)
        """The tasks by name, whether the app is finalized or not."""
        self._unbound: list[AnyTask] = []
        self._lent: dict[str, shared_tasks.Sharing] = {}
        """The names of the tasks that come from shared definitions."""
        self._lock = threading.RLock()
        self.finalized = self._finalizing = self._configured = False
        self._discover: list[Callable[[], None]] = []
        self._django: DjangoFixup | None = None

    @property
    def Task(self) -> type[AnyTask]:
        """The base of the tasks that are made from functions."""
        if isinstance(self.task_cls, str):
            self.task_cls = imported(self.task_cls)
        return self.task_cls  # type: ignore[return-value]

    @Task.setter
    def Task(self, base: type[AnyTask]) -> None:
        self.task_cls = base

    @overload
    def task(self, fun: Callable[P, Coroutine[Any, Any, R]], /) -> "TaskOf[P, R]": ...
    @overload
    def task(self, fun: Callable[P, R], /) -> "TaskOf[P, R]": ...
    @overload
    def task(self, *, base: "type[T]", **options: Any) -> "OfBase[T]": ...
    @overload
    def task(self, *, bind: Literal[True], **options: Any) -> "BoundDecorator": ...
    @overload
    def task(self, **options: Any) -> "Decorator": ...
    def task(self, *args: Any, **options: Any) -> Any:
        """Decorator: make a function a task. ``@app.task`` or ``@app.task(bind=True, queue="…")``.

        Raises AlreadyRegistered when another function has that name; programs that take canvas for Celery get a
        warning, and the task that has the name.
        """
        options.pop("lazy", None)
        share = options.pop("shared", None)
        how: shared_tasks.Sharing = "by default" if share is None else "asked"

        @without_own_frames
        def make(function: Callable[..., Any]) -> AnyTask:
            task = self.define_task(function, **options)
            if share or (share is None and shared_tasks.by_default()):
                shared_tasks.share(function, options, how)
            return task

        if len(args) == 1 and callable(args[0]):
            return make(args[0])
        if args:
            refuse_decorated("@app.task", args)
        return make

    def define_task(
        self, function: Callable[..., Any], name: str | None = None, base: type[AnyTask] | None = None,
        bind: bool = False, lent: "shared_tasks.Sharing | None" = None, **options: Any,
    ) -> AnyTask:  # fmt: skip
        """The task of a function. ``lent``: the definition is a shared task, which replaces no other task of the app.

        A definition of the app's own takes the name of a task that another app shares without being asked to.
        Raises AlreadyRegistered for other names that are taken.
        """
        check_definition(function, name, base, Task)
        name = name or self.gen_task_name(function.__name__, function.__module__)
        existing = self.registry.get(name)
        if existing is not None:
            had = self._lent.get(name)
            again = is_redefinition(existing, function)
            if lent and not (had and again):
                return existing
            if not again and had != "by default":
                return same_or_refused(existing, function, name)
            if again:
                warn_of_wrapper(name, getattr(existing, "__wrapped__", None), function)
            del self.registry[name]
        task = task_of_function(function, name, base or self.Task, options, bind)
        self.register_task(task)
        if lent:
            self._lent[name] = lent
        return task

    def register_task(self, task: Any, **options: Any) -> Any:
        """Register a task instance or class."""
        task = task() if isinstance(task, type) else task
        if not task.name:
            task.name = self.gen_task_name(type(task).__name__, type(task).__module__)
        with self._lock:
            self.registry[task.name] = task
            self._lent.pop(task.name, None)
            task.app = self
            if self.finalized:
                task.bind(self)
            else:
                self._unbound.append(task)
        return task

    def gen_task_name(self, name: str, module: str | None) -> str:
        """The name of a task whose function has this name and is in this module; override it for other names."""
        return task_name(self.main, name, module)

    def finalize(self, auto: bool = False) -> None:
        """Bind every task to the settings. The app does so automatically (``auto``) at first use. ``on_configure`` and
        ``on_after_configure`` are sent before, ``on_after_finalize`` after. Raises RuntimeError for ``auto`` in an app
        that was made with ``autofinalize=False``.
        """
        with self._lock:
            if self.finalized or self._finalizing:
                return
            if auto and not self.autofinalize:
                raise RuntimeError("Contract breach: app not finalized; call app.finalize() first (autofinalize=False)")
            self._finalizing = True
            try:
                self._configure()
                builtins.take_base(self)
                while self._unbound:
                    self._unbound.pop().bind(self)
                self.finalized = True
                self.call_hook("on_after_finalize")
            finally:
                self._finalizing = False

    def _configure(self) -> None:
        """Send the signals that come before tasks take the settings' values: receivers may change the settings."""
        if not self._configured:
            self._configured = True
            self.call_hook("on_configure")
            self.call_hook("on_after_configure", source=self.conf)

    def bind_task(self, task: AnyTask) -> None:
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

    def call_hook(self, name: str, **about: Any) -> None:
        """Send a signal, if it has been used; a class of apps may have a method in its place."""
        if name in self.__dict__:
            self.__dict__[name].send(sender=self, **about)
        elif isfunction(getattr(type(self), name)):
            getattr(self, name)()

    def autodiscover_tasks(
        self, packages: Iterable[str] | Callable[[], Iterable[str]] | None = None,
        related_name: str | None = "tasks", force: bool = False,
    ) -> None:  # fmt: skip
        """Import ``<package>.<related_name>`` of each package, when a worker starts (or now, with ``force``); without
        ``packages``, of Django's apps."""
        check_packages(packages)
        if packages is None and self._django is not None:
            packages = self._django.packages
        discover = partial(import_related_modules, packages, related_name)
        if force:
            discover()
        else:
            self._discover.append(discover)

    def import_task_modules(self) -> None:
        """Import the modules that ``include``, ``imports`` and ``autodiscover_tasks`` name. They may set settings."""
        if self._django is not None:
            self._django.set_up()
        emit("app.importing", app=self)
        import_modules((*(self.conf.include or ()), *(self.conf.imports or ())))
        while self._discover:
            self._discover.pop(0)()
        self.conf.source_changed()
        self.finalize()
