"""The queues that a node serves, and how they are reached."""

from collections.abc import Container, Iterable, Sequence

from canvas.app.application import Canvas
from canvas.model.queue import OWN_QUEUE, Queue


def add_own(app: Canvas, hostname: str) -> str:
    """Have a queue for one node alone, as Celery names it (``worker_direct``). Returns its name."""
    queue = Queue(f"{hostname}.dq2", "C.dq2", hostname)
    app.router.add(queue)
    return queue.name


def names_of_all(app: Canvas) -> set[str]:
    """The queues that the settings and the program name."""
    return {queue.name for queue in app.router.consumed()}


def changed_by_program(app: Canvas, queues: Sequence[str], before: Container[str]) -> list[str]:
    """A worker's queues, after receivers of ``celeryd_after_setup``: without those of ``before`` that the app no longer
    has, and with those that the program has selected."""
    named = names_of_all(app)
    kept = [name for name in queues if name in named or name not in before]
    return [*kept, *(name for name in dict.fromkeys(app.router.selected) if name not in kept)]


def own_behind_fanouts(app: Canvas, queues: Iterable[str], node: str) -> list[str]:
    """The names of queues, where each queue behind fanout exchanges is replaced by one that this node has for itself,
    if only who listens to such exchanges gets their messages. ``node``: the id of the node."""
    found = app.router.consumed(list(queues))
    if app.driver.bus.fanout is None:
        return [queue.name for queue in found]
    return [own_of(app, queue, node).name for queue in found]


def own_of(app: Canvas, queue: Queue, node: str) -> Queue:
    """A queue; or, behind fanout exchanges alone, the one that a node has in its place."""
    if queue.name.startswith(OWN_QUEUE) or not all(way.exchange.type == "fanout" for way in queue.ways()):
        return queue
    about = queue.declaration._replace(alias=queue.declaration.alias or queue.name, is_broadcast=True)
    own = queue._replace(name=f"{OWN_QUEUE}{node}:{about.alias}", declaration=about)
    app.router.add(own)
    return own


def declare(app: Canvas, queues: Iterable[str]) -> None:
    """Make them reachable for all who send."""
    app.driver.broker.declare(app.router.consumed(list(queues)))
