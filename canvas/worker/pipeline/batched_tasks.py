"""Tasks whose class is ``Batches`` of celery-batches: which ones an app has, and whether this worker can run them."""

from typing import Any

from canvas.app.application import Canvas
from canvas.errors import ConfigurationError
from canvas.task.task import Task

_OWN = ("Strategy", "flush", "_do_flush")
"""Methods of the class whose work canvas does itself."""


def batched_tasks(app: Canvas, pool: str) -> list[str]:
    """The names of the tasks whose calls are run together. Raises ConfigurationError for one whose class overrides what
    canvas does itself, and for the pool ``asyncio``."""
    found = []
    for task in app.tasks.values():
        kind = batches_class(task)
        if kind is None:
            continue
        found.append(task.name)
        refused = [name for name in _OWN if getattr(type(task), name, None) is not getattr(kind, name, None)]
        if refused:
            raise ConfigurationError(
                f"task {task.name}: its class overrides {', '.join(refused)} of celery-batches, which canvas does not "
                "call: set flush_every and flush_interval"
            )
        if pool == "asyncio":
            raise ConfigurationError(
                f"task {task.name}: the pool asyncio does not run batches of celery-batches: use -P prefork or threads"
            )
    return found


def batches_class(task: Task[Any]) -> type | None:
    """The class ``Batches`` of celery-batches, where a task's class derives from it."""
    own = (kind for kind in type(task).__mro__ if (kind.__module__, kind.__name__) == ("celery_batches", "Batches"))
    return next(own, None)
