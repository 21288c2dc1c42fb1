"""The tasks of an app, by name."""

import sys
from collections.abc import Callable
from typing import Any

from canvas.errors import NotRegistered
from canvas.task.task import Task


class TaskRegistry(dict[str, Task[Any]]):
    """Name → task. A name that is not there raises NotRegistered (a KeyError)."""

    NotRegistered = NotRegistered

    def __missing__(self, name: str) -> Task[Any]:
        raise NotRegistered(name)

    def __init__(self, adopt: Callable[[Any], Task[Any]]) -> None:
        """``adopt`` makes a task the app's."""
        super().__init__()
        self._adopt = adopt

    def register(self, task: Any) -> Task[Any]:
        """Make a task, given itself or its class, the app's."""
        return self._adopt(task)

    def unregister(self, task: Any) -> None:
        """Remove a task, given itself or its name. Raises NotRegistered."""
        name = getattr(task, "name", task)
        if name not in self:
            raise NotRegistered(name)
        del self[name]

    def regular(self) -> dict[str, Task[Any]]:
        """The tasks that users registered."""
        return {name: task for name, task in self.items() if not name.startswith(("celery.", "canvas."))}

    def periodic(self) -> dict[str, Task[Any]]:
        """The tasks of type ``periodic``."""
        return self.filter_types("periodic")

    def filter_types(self, type: str) -> dict[str, Task[Any]]:
        """The tasks whose attribute ``type`` has this value; ``regular`` is that of tasks without one."""
        return {name: task for name, task in self.items() if getattr(task, "type", "regular") == type}


def task_name(app_main: str | None, function: str, module: str | None) -> str:
    """``module.function``; for ``__main__``, the app's ``main`` (if given) replaces the module."""
    module = module or "__main__"
    loaded = sys.modules.get(module)
    if loaded is not None:
        module = loaded.__name__
    if module == "__main__" and app_main:
        return f"{app_main}.{function}"
    return ".".join(part for part in (module, function) if part)
