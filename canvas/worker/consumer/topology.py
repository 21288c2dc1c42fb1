"""The queues that a node serves, and how they are reached."""

from collections.abc import Iterable

from canvas.app.application import Canvas
from canvas.model.queue import Queue


def add_own(app: Canvas, hostname: str) -> str:
    """Have a queue for one node alone, as Celery names it (``worker_direct``). Returns its name."""
    queue = Queue(f"{hostname}.dq2", "C.dq2", hostname)
    app.router.add(queue)
    return queue.name


def declare(app: Canvas, queues: Iterable[str]) -> None:
    """Make them reachable for all who send."""
    app.driver.broker.declare(app.router.consumed(list(queues)))
