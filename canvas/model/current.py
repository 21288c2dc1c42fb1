"""Which app, and inside a worker which task, the running code belongs to."""

from contextvars import ContextVar
from typing import Any

from canvas.errors import ConfigurationError

_apps: list[Any] = []
_request: ContextVar[Any] = ContextVar("canvas_request", default=None)


def set_current_app(app: Any) -> None:
    """Make ``app`` the one that ``shared_task`` and app-less signatures use."""
    _apps[:] = [app]


def current_app() -> Any:
    """The app made last, or set by ``set_current_app``.

    Raises ConfigurationError when there is none.
    """
    if not _apps:
        raise ConfigurationError("no app: expected a Canvas(...) to exist before tasks are sent; create one")
    return _apps[0]


def has_current_app() -> bool:
    """Whether ``current_app`` would find one."""
    return bool(_apps)


def current_request() -> Any:
    """The request of the task this code runs in; ``None`` outside tasks."""
    return _request.get()


enter_request = _request.set
leave_request = _request.reset


composing: ContextVar[Any] = ContextVar("canvas_composing", default=None)
"""The workflow that a function composes just now: tasks that are called become its nodes."""
