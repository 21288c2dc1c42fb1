"""The queues that a node serves, and how they are reached."""

from collections.abc import Iterable

from canvas.app.application import Canvas
from canvas.drivers.ports.values import Binding
from canvas.model.queue import Queue


def bindings(app: Canvas, queues: Iterable[str] = (), exclude: Iterable[str] = ()) -> list[Binding]:
    """The queues to consume, with their bindings."""
    found = app.router.consumed(list(queues), list(exclude))
    return [Binding(q.name, q.exchange, q.routing_key, q.exchange_type) for q in found]


def add_own(app: Canvas, hostname: str) -> str:
    """Have a queue for one node alone, as Celery names it (``worker_direct``); its name."""
    queue = Queue(f"{hostname}.dq2", "C.dq2", hostname)
    app.router.add(queue)
    return queue.name


def declare(app: Canvas, queues: Iterable[str]) -> None:
    """Make them reachable for all who send."""
    app.driver.broker.declare(bindings(app, queues))
