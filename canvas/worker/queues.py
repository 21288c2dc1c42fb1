"""The queues that a node serves, and how they are reached."""

from collections.abc import Iterable

from canvas.app import Canvas
from canvas.drivers.base import Binding

_DIRECT = ".dq2"
_DIRECT_EXCHANGE = "C.dq2"


def bindings(app: Canvas, queues: Iterable[str] = (), exclude: Iterable[str] = ()) -> list[Binding]:
    """The queues to consume, with their bindings."""
    names = list(queues)
    own = [name for name in names if app.conf.worker_direct and name.endswith(_DIRECT)]
    named = [name for name in names if name not in own]
    found = app.router.consumed(named, list(exclude)) if named or not own else []
    return [
        *(Binding(q.name, q.exchange, q.routing_key, q.exchange_type) for q in found),
        *(Binding(name, _DIRECT_EXCHANGE, name.removesuffix(_DIRECT), "direct") for name in own),
    ]


def own_queue(hostname: str) -> str:
    """The queue of one node alone, with ``worker_direct``."""
    return hostname + _DIRECT


def declare(app: Canvas, queues: Iterable[str]) -> None:
    """Make them reachable for all who send."""
    app.driver.broker.declare(bindings(app, queues))
