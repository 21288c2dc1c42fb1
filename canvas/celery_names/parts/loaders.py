"""``app.loader``: where tasks and settings come from. A user's loader has hooks that workers call."""

import importlib
import os
from collections.abc import Iterable
from datetime import datetime
from types import ModuleType
from typing import Any

from canvas.app.application import Canvas
from canvas.celery_names.utils.collections import DictAttribute
from canvas.celery_names.utils.imports import find_module, import_from_cwd, symbol_by_name


class BaseLoader:
    """Finds settings and tasks of an app; its hooks do nothing."""

    builtin_modules: frozenset[str] = frozenset()
    override_backends: dict[str, str] = {}
    worker_initialized = False
    configured = True

    def __init__(self, app: Canvas, **options: Any) -> None:
        self.app = app
        self.task_modules: set[str] = set()

    @property
    def conf(self) -> Any:
        """The app's settings."""
        return self.app.conf

    @property
    def default_modules(self) -> set[str]:
        """The modules that ``include`` and ``imports`` name, and ``builtin_modules``."""
        return {*self.builtin_modules, *(self.conf.include or ()), *(self.conf.imports or ())}

    def now(self, utc: bool = True) -> datetime:
        return self.app.now()

    def on_task_init(self, task_id: str, task: Any) -> None:
        """Called before a task runs."""

    def on_process_cleanup(self) -> None:
        """Called after a task has run."""

    def on_worker_init(self) -> None:
        """Called when a worker starts."""

    def on_worker_shutdown(self) -> None:
        """Called when a worker ends."""

    def on_worker_process_init(self) -> None:
        """Called in each process that runs tasks, when it starts."""

    def import_task_module(self, module: str) -> ModuleType:
        self.task_modules.add(module)
        return self.import_from_cwd(module)

    def import_module(self, module: str, package: str | None = None) -> ModuleType:
        return importlib.import_module(module, package=package)

    def find_module(self, module: str) -> Any:
        """Import a module, which may be in the working directory. Raises ImportError, and NotAPackage for a name below
        a module."""
        return find_module(module)

    def import_from_cwd(self, module: str, imp: Any = None, package: str | None = None) -> ModuleType:
        return import_from_cwd(module, imp or self.import_module, package)

    def _smart_import(self, path: str, imp: Any = None) -> Any:
        """The module at ``path``, or the object there: ``package.module:name`` or ``package.module.name``."""
        load = imp or self.import_module
        if ":" not in path:
            try:
                return load(path)
            except ImportError:
                pass  # its last part may be the name of an object
        return symbol_by_name(path, imp=load)

    def import_default_modules(self) -> list[ModuleType]:
        """Import the modules of tasks; those that ``include`` and ``imports`` name."""
        self.app.import_task_modules()
        return [importlib.import_module(name) for name in sorted(self.default_modules)]

    def init_worker(self) -> None:
        """Import the modules of tasks and call ``on_worker_init``: once, however often it is called."""
        if not self.worker_initialized:
            self.worker_initialized = True
            self.import_default_modules()
            self.on_worker_init()

    def shutdown_worker(self) -> None:
        self.on_worker_shutdown()

    def init_worker_process(self) -> None:
        self.on_worker_process_init()

    def config_from_object(self, obj: Any, silent: bool = False) -> bool:
        """Give the app the settings of an object."""
        self.app.config_from_object(obj, silent=silent)
        return True

    def read_configuration(self, env: str = "CELERY_CONFIG_MODULE") -> Any:
        """The settings of an app without a source of its own, as a module, an object or a mapping: by default those of
        the module that the environment variable ``env`` names. ``None``: there are none. Raises ImportError."""
        name = os.environ.get(env)
        return self.import_from_cwd(name) if name else None

    def autodiscover_tasks(self, packages: Iterable[str], related_name: str = "tasks") -> None:
        self.app.autodiscover_tasks(list(packages), related_name, force=True)


class AppLoader(BaseLoader):
    """The loader of every app that is not given another."""


class Loader(BaseLoader):
    """The loader ``default``: it reads the settings of the module ``celeryconfig``, or of the one that
    ``CELERY_CONFIG_MODULE`` names."""

    def setup_settings(self, settingsdict: Any) -> DictAttribute:
        """Settings as a mapping whose keys are attributes, too."""
        return DictAttribute(settingsdict)

    def read_configuration(self, fail_silently: Any = True) -> Any:
        """The module; ``None`` where there is none. Without ``fail_silently`` raises ImportError then."""
        name = os.environ.get("CELERY_CONFIG_MODULE") or DEFAULT_CONFIG_MODULE
        try:
            return self.import_from_cwd(name)
        except ModuleNotFoundError as exc:
            if exc.name != name or not fail_silently:
                raise
            return None


DEFAULT_CONFIG_MODULE = "celeryconfig"


def get_loader_cls(loader: Any) -> Any:
    """The class of a loader, by its name or path; a class is returned as it is."""
    return symbol_by_name(loader, {"app": f"{__name__}:AppLoader", "default": f"{__name__}:Loader"})
