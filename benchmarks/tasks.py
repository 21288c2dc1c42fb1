"""The tasks of the benchmarks, in an app of either library; as a worker's app, by its environment.

``BENCH_LIBRARY`` names the library, ``BENCH_BROKER`` and ``BENCH_BACKEND`` are URLs; ``BENCH_EARLY`` acks before tasks
run. ``BENCH_STATE`` is the setting ``canvas_state``.
"""

import os
import time
import warnings
from typing import Any


def make(library: str, broker: str, backend: str) -> Any:
    """An app of ``canvas`` or ``celery``."""
    if library == "celery":
        from celery import Celery

        # Celery shares the tasks of each app with the apps that are made after it.
        warnings.filterwarnings("ignore", "Task name 'bench")
        app: Any = Celery("bench", broker=broker, backend=backend)
        app.conf.broker_connection_retry_on_startup = True
    else:
        from canvas import Canvas

        app = Canvas("bench", broker=broker, backend=backend)
    if library == "canvas" and "BENCH_STATE" in os.environ:
        app.conf.canvas_state = os.environ["BENCH_STATE"]
    if "BENCH_EARLY" in os.environ:
        app.conf.task_acks_late = False
    _quick(app)
    _timed(app)
    return app


def _quick(app: Any) -> None:
    @app.task(name="bench.noop")
    def noop() -> None:
        return None

    @app.task(name="bench.coroutine")
    async def coroutine() -> None:
        return None

    @app.task(name="bench.link")
    def link(value: Any = None) -> Any:
        return value

    @app.task(name="bench.more")
    def more(value: int) -> int:
        return value + 1

    @app.task(name="bench.stop")
    def stop(value: int, at: int) -> bool:
        return value >= at

    @app.task(name="bench.count")
    def count(values: list[Any]) -> int:
        return len(values)


def _timed(app: Any) -> None:
    @app.task(name="bench.work")
    def work() -> float:
        """A millisecond of the processor; how long it took."""
        started = time.perf_counter()
        while time.perf_counter() < started + 0.001:
            pass
        return time.perf_counter() - started

    @app.task(name="bench.rest")
    def rest() -> float:
        """Five milliseconds of waiting; how long it took."""
        started = time.perf_counter()
        time.sleep(0.005)
        return time.perf_counter() - started

    @app.task(name="bench.clock")
    def clock() -> float:
        return time.time()


if "BENCH_LIBRARY" in os.environ:
    app = make(os.environ["BENCH_LIBRARY"], os.environ["BENCH_BROKER"], os.environ["BENCH_BACKEND"])
