"""Names of ``celery.app`` and ``celery.events``: the current app and task, the report, events as dicts."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

from canvas import context
from canvas.app import shared_tasks
from canvas.app.application import Canvas
from canvas.context import current_app, enter_call, has_current_app, leave_call, running_tasks, set_current_app
from canvas.masking import masked_setting


def app_or_default(app: Canvas | None = None) -> Canvas:
    """``app``, or the current app without one. Raises ConfigurationError when there is none."""
    return cast(Canvas, current_app()) if app is None else app


def set_default_app(app: Canvas) -> None:
    """Make ``app`` the current app of programs that make none."""
    context.set_default_app(lambda: app)
    shared_tasks.stand_in(lambda: app)


class CurrentApp(threading.local):
    """The current app as an attribute. It belongs to the process, not to the thread."""

    @property
    def current_app(self) -> Any:
        return current_app() if has_current_app() else None

    @current_app.setter
    def current_app(self, app: Canvas) -> None:
        set_current_app(app)


class TaskStack(threading.local):
    """The tasks that run in this thread, the innermost last."""

    def __init__(self) -> None:
        self._entered: list[Any] = []

    @property
    def stack(self) -> list[Any]:
        return running_tasks()

    @property
    def top(self) -> Any:
        return (self.stack or [None])[-1]

    def push(self, obj: Any) -> list[Any]:
        """Make the task ``obj`` the current one of this thread, until ``pop``; its request stays. Returns ``stack``."""
        self._entered.append((obj, enter_call(obj, obj.request)))
        return self.stack

    def pop(self) -> Any:
        """Undo ``push``, and return its task; None without one."""
        if not self._entered:
            return None
        task, token = self._entered.pop()
        leave_call(token)
        return task

    def __len__(self) -> int:
        return len(self.stack)


tls, task_stack = CurrentApp(), TaskStack()
push_current_task, pop_current_task = task_stack.push, task_stack.pop


def bugreport(app: Canvas | None = None) -> str:
    """Versions and settings of an app, the current app by default, for a bug report."""
    return app_or_default(app).bugreport()


def appstr(app: Canvas) -> str:
    """A text that names an app: its name and its id."""
    return f"{app.main or '__main__'} at {id(app):#x}"


def filter_hidden_settings(conf: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with their secrets masked."""
    return {name: masked_setting(name, value) for name, value in conf.items()}


def enable_trace() -> None:
    """Nothing: canvas does not trace the use of the current app."""


disable_trace = enable_trace


def flatten_reply(reply: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Replies to a broadcast as one mapping, by node."""
    return {node: answer for one in reply for node, answer in one.items()}


def Event(
    type: str, _fields: Any = None, __dict__: Callable[..., dict[str, Any]] = dict,
    __now__: Callable[[], float] = time.time, **fields: Any,
) -> dict[str, Any]:  # fmt: skip
    """An event of ``type``: a dict of fields, with the current time as its ``timestamp`` unless a field has one."""
    event = __dict__(_fields, **fields) if _fields else fields
    event.setdefault("timestamp", __now__())
    event["type"] = type
    return event


def group_from(type: str) -> str:
    """The kind of an event: ``task`` of ``task-sent``."""
    return type.partition("-")[0]


def maybe_patch_concurrency(
    argv: Any = None, short_opts: Any = None, long_opts: Any = None, patch: bool = True
) -> None:
    """Nothing: canvas has no pool of green threads, for which modules are patched."""
