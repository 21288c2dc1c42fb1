"""The tasks of an app, by name."""

from collections.abc import Callable
from typing import Any

from canvas.errors import NotRegistered
from canvas.task.task import Task


class TaskRegistry(dict[str, Task[Any]]):
    """Name → task. A name that is not there raises NotRegistered (a KeyError)."""

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
