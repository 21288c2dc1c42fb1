"""Tasks of other shapes than noop: they fail, retry, come due later, wait, take a model, are written in MessagePack, or
stand in a queue of many."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime

from benchmarks.arena import Arena, seconds

QUEUED = 100_000
"""Messages of the long queue."""
_DUE_IN = 4.0
"""Seconds from the sending of the tasks that come due later: both libraries have taken them all by then."""
_PAUSES = 100
"""Tasks that wait at once."""


def shapes(arena: Arena, library: str, count: int) -> Iterator[tuple[str, float]]:
    """The rows of the part ``shapes``: tasks a second."""
    with arena.worker(library):
        yield "fails", emptied(arena, count, "bench.fail")
        yield "retries", emptied(arena, count, "bench.again")
        yield "msgpack", emptied(arena, count, serializer="msgpack")
        yield "queued", queued(arena, count)
    with arena.worker(library, "prefork", 2):
        yield "later", due_later(arena, count)
    with arena.worker(library, BENCH_MODEL="1"):
        yield "model", emptied(arena, count, "bench.model", kwargs={"order": {"number": 1, "items": ["a", "b"]}})
    with arena.worker(library, "threads", 16):
        yield "threads16", emptied(arena, count)
    coroutines = library == "canvas"
    with arena.worker(library, "asyncio" if coroutines else "threads", _PAUSES):
        yield "pauses", emptied(arena, count, "bench.apause" if coroutines else "bench.pause")


def emptied(arena: Arena, count: int, task: str = "bench.noop", **call: object) -> float:
    """Tasks a second, from when all wait in the queue to when none waits, runs or is to come."""
    arena.fill(count, task, "aside", **call)

    def run() -> None:
        arena.broker.rename("aside", "celery")
        arena.wait(lambda: is_empty(arena))

    return count / seconds(run)


def due_later(arena: Arena, count: int) -> float:
    """Tasks a second that all have come due at one moment, from this moment on."""
    due = time.time() + _DUE_IN + count / 1_000
    arena.fill(count, eta=datetime.fromtimestamp(due, UTC))
    arena.wait(lambda: is_empty(arena))
    return count / (time.time() - due)


def queued(arena: Arena, count: int) -> float:
    """Tasks a second of a worker whose queue holds many more messages than it runs meanwhile."""
    arena.fill(QUEUED, key="aside")
    arena.broker.rename("aside", "celery")
    rate = arena.rate(count)
    arena.broker.delete("celery")
    arena.wait(lambda: is_empty(arena))
    return rate


def is_empty(arena: Arena) -> bool:
    """Whether no message waits, is leased, or is kept for later."""
    return not (arena.broker.exists("celery", "unacked", "canvas:delayed"))
