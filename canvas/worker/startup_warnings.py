"""Mistakes that can be seen as a worker starts, and would otherwise show as a worker that does nothing."""

import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches

from canvas.app.application import Canvas
from canvas.telemetry import emit

_DIGITS = re.compile(r"\d+")


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
    """Those in the settings, and those that tasks name."""
    for binding in app.router.consumed():
        yield binding.name
    routes = app.conf.task_routes
    for route in routes.values() if isinstance(routes, Mapping) else ():
        queue = route.get("queue") if isinstance(route, Mapping) else route
        if isinstance(queue, str):
            yield queue
    for task in app.tasks.values():
        queue = task.exec_options().get("queue")
        if isinstance(queue, str):
            yield queue
