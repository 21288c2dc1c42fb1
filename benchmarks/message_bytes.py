"""Bytes that one workflow sends to start, and what compiling it costs: canvas and Celery 5.7 side by side.

``make bench-bytes``. Nothing is run: canvas' messages are compiled and encoded, Celery's are taken from a Redis that
only keeps them.
"""

import time
from collections.abc import Callable
from typing import Any

import celery
import redis
from rich.console import Console
from rich.table import Table

import canvas
from canvas.testing.embedded_redis import EmbeddedRedis


def chain_of_chords(library: Any, task: Any, chords: int, width: int) -> Any:
    """``chords`` chords, one after the other, ``width`` header tasks each."""
    return library.chain(*[library.chord([task.s(n) for n in range(width)], task.s()) for _ in range(chords)])


def nested(library: Any, task: Any, depth: int) -> Any:
    """Chords in headers, ``depth`` levels deep, three members each."""
    if depth == 0:
        return task.s()
    return library.chord([nested(library, task, depth - 1) for _ in range(3)], task.s())


def long_chain(library: Any, task: Any, steps: int) -> Any:
    return library.chain(*[task.s() for _ in range(steps)])


SHAPES: dict[str, Callable[[Any, Any], Any]] = {
    "chain of 5 chords × 20": lambda library, task: chain_of_chords(library, task, 5, 20),
    "chain of 10 chords × 20": lambda library, task: chain_of_chords(library, task, 10, 20),
    "chain of 20 chords × 20": lambda library, task: chain_of_chords(library, task, 20, 20),
    "chords nested 3 deep": lambda library, task: nested(library, task, 3),
    "chords nested 6 deep": lambda library, task: nested(library, task, 6),
    "chain of 1,000": lambda library, task: long_chain(library, task, 1000),
}


def noop(*args: Any) -> None:
    """Takes anything."""


def measure(server: EmbeddedRedis, library: Any, app: Any, shape: Callable[[Any, Any], Any]) -> tuple[int, int, float]:
    """Messages, bytes and seconds of sending one."""
    task = app.task(name="bench.noop", shared=False)(noop)
    store = redis.Redis(unix_socket_path=server.socket)
    store.flushall()
    flow = shape(library, task)
    started = time.perf_counter()
    flow.apply_async()
    seconds = time.perf_counter() - started
    messages = store.lrange("celery", 0, -1)
    return len(messages), sum(map(len, messages)), seconds


def main() -> None:
    """Print the table."""
    table = Table(title="To start one workflow")
    for column in ("workflow", "messages", "canvas bytes", "Celery bytes", "canvas ms", "Celery ms"):
        table.add_column(column, justify="left" if column == "workflow" else "right")
    with EmbeddedRedis() as server:
        ours = canvas.Canvas("ours", broker=server.url(0), backend=server.url(1))
        stock = celery.Celery("stock", broker=server.url(0), backend=server.url(1))
        for app, library in ((ours, canvas), (stock, celery)):
            measure(server, library, app, SHAPES["chords nested 3 deep"])
        for name, shape in SHAPES.items():
            count, size, seconds = measure(server, canvas, ours, shape)
            _, stock_size, stock_seconds = measure(server, celery, stock, shape)
            table.add_row(
                name,
                f"{count:,}",
                f"{size:,}",
                f"{stock_size:,}",
                f"{seconds * 1e3:,.0f}",
                f"{stock_seconds * 1e3:,.0f}",
            )
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
