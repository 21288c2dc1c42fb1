"""The first steps of a worker: warn of mistakes that would show as a worker that does nothing; wait for servers.

It waits as Celery's does (``broker_connection_retry_on_startup``).
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import partial
from importlib import import_module
from threading import Event
from typing import Any

from canvas.app.application import Canvas
from canvas.drivers.ports.capabilities import require
from canvas.drivers.ports.results import TablesMissing
from canvas.drivers.retry_policy import delays
from canvas.errors import OperationalError
from canvas.telemetry import attach, emit

_DIGITS = re.compile(r"\d+")
_PAUSES = {"interval_start": 2.0, "interval_step": 2.0, "interval_max": 30.0}


_LOADER_HOOKS: dict[str, tuple[str, Callable[..., tuple[Any, ...]]]] = {
    "on_worker_init": ("worker.init", lambda **_: ()),
    "on_worker_process_init": ("worker.process_init", lambda **_: ()),
    "on_worker_shutdown": ("worker.shutdown", lambda **_: ()),
    "on_task_init": ("task.started", lambda message, task, **_: (message.id, task)),
    "on_process_cleanup": ("task.over", lambda **_: ()),
}
"""The hooks of a loader: the event at which each is called, and its arguments."""
_hooked: list[Any] = []
"""Loaders whose hooks are called."""


def load_tasks(app: Canvas) -> None:
    """Import the modules of the app's tasks; the hooks of its own loader are called from now on."""
    # The modules may make apps, too: the worker's own is the current one for them, and again afterwards.
    app.set_current()
    _attach_loader(app)
    app.import_task_modules()
    app.set_current()
    _load_what_tasks_use(app)


def _load_what_tasks_use(app: Canvas) -> None:
    """Import the modules that other programs import at their first use: the children of a pool share them, and a worker
    still has them after the installed package was replaced, or a task has changed ``sys.path``."""
    import_module("canvas.task.retry")
    app.now()  # in the time zone that is set


def _attach_loader(app: Canvas) -> None:
    """Call the hooks of the loader that the app was given, if it was given one, from now on."""
    if app.loader_cls == Canvas.loader_cls or app.loader in _hooked:
        return
    _hooked.append(app.loader)
    for name, (event, arguments) in _LOADER_HOOKS.items():
        hook = getattr(app.loader, name, None)
        if hook is not None:
            attach(partial(_call_hook, hook, arguments), event)


def _call_hook(hook: Callable[..., object], arguments: Callable[..., tuple[Any, ...]], **facts: Any) -> None:
    hook(*arguments(**facts))


def connect(app: Canvas, ended: Event, begin: Callable[[], object]) -> None:
    """Return when the broker and the results answer and ``begin()`` has succeeded, the first use of them, or when
    ``ended`` is set. Tables that are missing may still be made: containers of workers start beside the one that
    migrates the database.

    Raises OperationalError or TablesMissing when they have not after ``broker_connection_max_retries`` (``None``, 0: no
    end), at once where there is to be no retry.
    """
    conf = app.conf
    again = conf.broker_connection_retry_on_startup
    if again is None:
        again = conf.broker_connection_retry
    most = (conf.broker_connection_max_retries or None) if again else 0
    for tries, pause in enumerate(delays({**_PAUSES, "max_retries": most}), start=1):
        try:
            return _call(app, begin)
        except (OperationalError, TablesMissing) as exc:
            emit("broker.retrying", error=str(exc), seconds=pause, tries=tries, most=most)
            if ended.wait(pause):
                return None
    return _call(app, begin)


def _call(app: Canvas, begin: Callable[[], object]) -> None:
    app.driver.broker.check()
    if app.driver.results is not None and app.driver.results.shared:
        app.driver.results.get(["any"])
    # A server may answer and take nothing: it is a replica, or about to stop.
    begin()


def check_limits(app: Canvas) -> None:
    """Raise ConfigurationError for a task with a limit that needs state which all workers share, where the broker keeps
    none; warn that it keeps none."""
    found = app.driver.capabilities
    if "coordination" not in found:
        emit("worker.stateless")
    for task in app.tasks.values():
        for name in ("concurrency_limit", "unique_for"):
            if getattr(task, name):
                require(found, "coordination", f"{name} of {task.name}")
        if task.rate_limit and task.rate_limit_scope == "global":
            require(found, "coordination", f"the global rate_limit of {task.name}")


def warn_of_slips(app: Canvas, queues: Sequence[str]) -> None:
    """Warn of a worker without tasks, and of queues whose names are nearly those of known ones."""
    if not app.tasks.regular():
        emit("worker.no_tasks")
    known = sorted(set(_known_queues(app)))
    for queue in queues:
        near = get_close_matches(queue, known, n=1) if queue not in known else []
        # Queues of a series, such as high1 and high2, are meant.
        if near and _DIGITS.sub("", near[0]) != _DIGITS.sub("", queue):
            emit("worker.unknown_queue", queue=queue, near=near[0])


def _known_queues(app: Canvas) -> Iterator[str]:
    """The queues that settings, routes and tasks name."""
    for binding in app.router.consumed():
        yield binding.name
    routes = app.conf.task_routes
    for route in routes.values() if isinstance(routes, Mapping) else ():
        queue = route.get("queue") if isinstance(route, Mapping) else route
        if isinstance(queue, str):
            yield queue
    for task in app.tasks.values():
        queue = task.attribute_options().get("queue")
        if isinstance(queue, str):
            yield queue
