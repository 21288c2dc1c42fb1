"""The queues that a node serves, and how they are reached."""

from collections.abc import Iterable

from canvas.app import Canvas
from canvas.drivers.base import Binding


def bindings(app: Canvas, queues: Iterable[str] = (), exclude: Iterable[str] = ()) -> list[Binding]:
    """The queues to consume, with their bindings."""
    found = app.router.consumed(list(queues), list(exclude))
    return [Binding(q.name, q.exchange, q.routing_key, q.exchange_type) for q in found]


def declare(app: Canvas, queues: Iterable[str]) -> None:
    """Make them reachable for all who send."""
    app.driver.broker.declare(bindings(app, queues))
