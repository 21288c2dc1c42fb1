"""The app that users create: its constructor, its commands, its workflows. Its other parts are in its bases."""

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from functools import cached_property
from typing import TYPE_CHECKING, Any

from canvas.app import builtins, shared_tasks
from canvas.app.celery_attributes import CeleryNames
from canvas.app.sending import SendingApp
from canvas.app.services import Part, Service, open_run_store
from canvas.caller_warnings import ends_in_caller, warn_caller
from canvas.config.sources import imported
from canvas.context import NO_APP, set_current_app
from canvas.errors import ConfigurationError
from canvas.masking import masked_url
from canvas.task.task import Task

if TYPE_CHECKING:
    from canvas.drivers.ports import Driver
    from canvas.workflows.compose.builder import Workflow
    from canvas.workflows.finding import Runs
    from canvas.workflows.run import Run
    from canvas.workflows.store import RunStore


@ends_in_caller("workflow")
class Canvas(CeleryNames, SendingApp):
    """An application: its tasks, its settings, its connections.

    >>> app = Canvas("shop", broker="memory://", backend="memory://")
    >>> @app.task
    ... def price(item):
    ...     return {"tea": 4}[item]
    >>> price.s("tea").apply().get()
    4

    Args:
        main: The app's name; tasks defined in ``__main__`` are named after it.
        broker: The broker's URL, or a list of URLs. Default: ``redis://localhost:6379/0``.
        backend: The result backend's URL. Default: none, so that results cannot be read.
        include: Modules with tasks, which workers import.
        changes: Settings, as a mapping.
        settings: Further settings, by name. They also come from ``config_from_object``, the environment
            (``CANVAS_…``) and assignment to ``app.conf``.
        config_source: An object, a module or a name, as for ``config_from_object``.
        namespace: The beginning of the names of settings in ``config_source``.
        config_source_silent: Whether a ``config_source`` that cannot be imported is ignored.
        set_as_current: Whether it becomes ``current_app``.
        task_cls: The base class of tasks, or its name (``"proj.tasks:Base"``).
        strict_typing: Whether arguments are checked for tasks without a ``typing`` of their own.
        autofinalize: Whether tasks are made when they are first needed; otherwise by ``finalize``.
        loader, amqp, events, log, control: The classes of these parts of the app, or their paths.
        tasks: Tasks by name, or the class of the mapping that has them.
        fixups: Nothing: Django's is built in.
    """

    def __init__(
        self, main: str | None = None, loader: Any = None, backend: Any = None, amqp: Any = None, events: Any = None,
        log: Any = None, control: Any = None, set_as_current: bool = True, tasks: Any = None, broker: Any = None,
        include: Iterable[str] | None = None, changes: Mapping[str, Any] | None = None, config_source: Any = None,
        fixups: Any = None, task_cls: type[Task[Any]] | str | None = None, autofinalize: bool = True,
        namespace: str | None = None, strict_typing: bool = True, config_source_silent: bool = False, **settings: Any,
    ) -> None:  # fmt: skip
        if isinstance(main, str) and "://" in main:
            warn_caller(
                f"Canvas: the first argument is the name of the app; got {masked_url(main)!r}: "
                "give the broker by name, as in Canvas('shop', broker='redis://…')"
            )
        if isinstance(loader, str) and "://" in loader:
            raise ConfigurationError(
                f"Canvas: the second argument is Celery's loader; got {masked_url(loader)!r}: "
                "give the broker by name, as in Canvas('shop', broker='redis://…')"
            )
        self._choose(loader=loader, amqp=amqp, events=events, log=log, control=control, registry=_class_of(tasks))
        servers = {"broker_url": broker, "result_backend": backend}
        overrides = {**(changes or {}), **settings, **{key: url for key, url in servers.items() if url is not None}}
        if include is not None:
            overrides["include"] = list(include)
        super().__init__(main, autofinalize, config_source, namespace, config_source_silent, overrides)
        self.strict_typing, self.set_as_current = strict_typing, set_as_current
        self._use_django()
        if task_cls is not None:
            self.task_cls = task_cls
        if set_as_current:
            set_current_app(self)
        builtins.register(self)
        shared_tasks.bind_app(self)
        for task in (tasks if isinstance(tasks, Mapping) else {}).values():
            self.register_task(task)
        self.on_init()

    pool = Part("canvas.app.connection:connection_pool")
    """Connections for programs that acquire them."""
    log = Part("log_cls")
    loader = Part("loader_cls")
    steps = Part("canvas.celery_names.parts.extensions:named_sets")
    """Bootsteps: ``app.steps["worker"]`` and ``app.steps["consumer"]`` are sets of their classes."""
    user_options = Part("canvas.celery_names.parts.extensions:named_sets")
    """Options of the command line: ``app.user_options["worker"]``, ``"beat"`` and ``"preload"`` are sets of them."""
    Worker = WorkController = Part("canvas.celery_names.parts.programs:worker_class")
    Beat = Part("canvas.celery_names.parts.programs:beat_class")
    clock = Part("canvas.celery_names.parts.clock:Clock")

    def on_init(self) -> None:
        """For subclasses: called when the app is made."""

    def _use_django(self) -> None:
        """Take settings, tasks and their base class from Django, if a Django project is configured."""
        if os.environ.get("DJANGO_SETTINGS_MODULE"):  # asked before the import, which takes time
            from canvas.integrations.django import DjangoTask, fixup

            self._django = fixup(self)
            if self._django is not None and self.task_cls is Task:
                self.task_cls = DjangoTask

    def add_periodic_task(
        self, schedule: Any, sig: Any, args: Iterable[Any] = (), kwargs: Mapping[str, Any] | None = None,
        name: str | None = None, **options: Any,
    ) -> str:  # fmt: skip
        """Enter ``sig`` in ``beat_schedule``, for ``canvas beat``. Returns the entry's name.

        ``schedule``: seconds, a timedelta, or a schedule of ``canvas.schedules``. ``sig``: a signature, a workflow, or
        a function that composes one. ``catch_up``, ``overlap`` and ``relative`` among ``options`` are those of the
        entry; the others are options of the task. ``name`` is the entry's, by default the task's call.
        """
        from canvas.beat.periodic import entry_fields

        key, entry = entry_fields(self, schedule, sig, tuple(args), dict(kwargs or {}), options)
        key = name or key
        known = self.conf.changed().get("beat_schedule") or {}
        self.conf.update(beat_schedule={**known, key: entry})
        return key

    @cached_property
    def runs(self) -> "Runs":
        """Finds runs of workflows: ``app.runs(name="etl", state="FAILURE")``, ``app.runs.count(…)``."""
        from canvas.workflows.finding import Runs

        return Runs(self)

    def open_run_store(self, persist: Callable[[Callable[[], Any]], Any]) -> "RunStore":
        """The data of workflows' runs, read and written by calls that ``persist`` makes."""
        return open_run_store(self, persist)

    def Workflow(self, name: str = "workflow") -> "Workflow":
        """An empty workflow of this app, with this ``name``."""
        from canvas.workflows.compose.builder import Workflow

        return Workflow(name, self)

    def workflow(self, run: str) -> "Run":
        """A workflow's run, by its id. Raises RunLost."""
        from canvas.workflows.run import Run

        if callable(run):
            raise TypeError("app.workflow(id) returns a run by its id; to compose a workflow use @canvas.workflow")
        return Run.find(self, run)

    async def aworkflow(self, run: str) -> "Run":
        """``workflow``, without blocking the event loop."""
        import asyncio  # imported late: programs without an event loop need none of it

        return await asyncio.to_thread(self.workflow, run)

    def start(self, argv: list[str] | None = None) -> int | None:
        """Run the command ``canvas`` for this app, with ``argv`` or the program's arguments. Returns its exit code.

        Raises click's exceptions, such as UsageError, for wrong arguments.
        """
        command = imported("canvas.cli.main:canvas")
        code: int | None = command.main(sys.argv[1:] if argv is None else list(argv), obj=self, standalone_mode=False)
        return code

    def worker_main(self, argv: list[str] | None = None) -> int | None:
        """``start``, for ``worker``. Raises ValueError where ``argv`` is not about a worker."""
        argv = sys.argv[1:] if argv is None else list(argv)
        if "worker" not in argv:
            raise ValueError("expected the worker command in argv; app.start() runs the others")
        return self.start(argv)

    def connection(self, url: str | None = None, **options: Any) -> Any:
        """A connection to the broker: kombu's where kombu is installed and knows the broker, else one of canvas' own.

        ``options``: those of kombu's connection, such as ``userid``, ``password``, ``virtual_host``, ``port``, ``ssl``
        and ``transport_options``, instead of the settings'; ``hostname`` is ``url``. Raises ConfigurationError for
        another broker's URL, and for options, without kombu.
        """
        from canvas.app.connection import connection_of

        return connection_of(self, url, options)

    connection_for_read = connection_for_write = broker_connection = connection

    def connection_or_acquire(self, connection: Any = None, pool: bool = True, *_: Any, **__: Any) -> Any:
        """``connection`` in a context manager, which leaves it open; a new one if it is ``None``."""
        return self.connection() if connection is None else nullcontext(connection)

    default_connection = connection_or_acquire

    def bugreport(self) -> str:
        """Versions, the platform, and the settings that were given, secrets masked: for bug reports."""
        # Imported late: most programs never report.
        from canvas.app.report import report

        return report(self.conf, type(self.loader))

    def set_current(self) -> None:
        """Make it ``current_app``, which ``shared_task`` and signatures without an app use."""
        set_current_app(self)

    def set_default(self) -> None:
        """The same as ``set_current``."""
        set_current_app(self)

    def __enter__(self) -> "Canvas":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _get_current_object(self) -> "Canvas":
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        about = {"main": self.main, "changes": self.conf.changed(), "strict_typing": self.strict_typing}
        return _unpickled, (type(self), about)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.main or '__main__'} at {id(self):#x}>"


def _unpickled(kind: type[Canvas], about: dict[str, Any]) -> Canvas:
    """An app with the name and the settings of one that was pickled. It is not the current app."""
    return kind(set_as_current=False, **about)


def _class_of(tasks: Any) -> Any:
    """The class of the registry that ``tasks`` names; none for tasks by name."""
    return None if isinstance(tasks, Mapping) else tasks


def _refuse_driver(app: object) -> "Driver":
    raise ConfigurationError(NO_APP)


class _StandIn(Canvas):
    """The app of shared tasks that are called, or patched by a test, before there is another. It sends nothing."""

    def __init__(self) -> None:
        super().__init__(set_as_current=False)

    driver = Service(_refuse_driver)


shared_tasks.stand_in(_StandIn)
