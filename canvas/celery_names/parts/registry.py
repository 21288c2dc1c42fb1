"""``celery.registry``: the tasks of the current app, for programs and plug-ins that read them there."""

from typing import Any

from canvas.context import current_app


def __getattr__(name: str) -> Any:
    if name == "tasks":
        return current_app().tasks
    raise AttributeError(f"module 'celery.registry' has no attribute {name!r}")
