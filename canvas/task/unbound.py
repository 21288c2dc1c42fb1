"""Attributes of tasks that are read before their task is bound to an app."""

from typing import Any, Protocol

from canvas.context import current_app, has_current_app


class Binder(Protocol):
    """An app that gives its tasks the values of settings."""

    def bind_task(self, task: Any) -> Any: ...


class Registered(Protocol):
    """A task that may belong to an app."""

    app: Binder | None


class CurrentApp:
    """The app of a task that is not registered: the current one, ``None`` where there is none."""

    def __get__(self, task: Registered | None, owner: type | None = None) -> Any:
        return current_app() if has_current_app() else None


class _FromSettings:
    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, task: Registered | None, owner: type | None = None) -> Any:
        if task is None or task.app is None:
            return None
        task.app.bind_task(task)
        return task.__dict__[self._name]


def from_settings() -> Any:
    """An attribute that takes a setting's value where the task does not give it.

    Binding a task writes the value into the task, which hides the descriptor. Reading it earlier binds the task.
    """
    return _FromSettings()
