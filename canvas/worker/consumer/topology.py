"""The queues that a node serves, and how they are reached."""

from collections.abc import Container, Iterable, Sequence

from canvas.app.application import Canvas
from canvas.model.queue import Queue


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


def declare(app: Canvas, queues: Iterable[str]) -> None:
    """Make them reachable for all who send."""
    app.driver.broker.declare(app.router.consumed(list(queues)))
