"""The tasks of the benchmarks, in an app of either library; as a worker's app, by its environment.

``BENCH_LIBRARY`` names the library, ``BENCH_BROKER`` and ``BENCH_BACKEND`` are URLs; ``BENCH_EARLY`` acks before tasks
run. ``BENCH_STATE`` is the setting ``canvas_state``, and ``BENCH_MODEL`` adds a task that takes a model of pydantic.
"""

import asyncio
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
    app.conf.accept_content = ["json", "msgpack"]
    _quick(app)
    _timed(app)
    _ending_otherwise(app)
    if "BENCH_MODEL" in os.environ:
        _typed(app)
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

    @app.task(name="bench.pause")
    def pause() -> None:
        time.sleep(0.01)

    @app.task(name="bench.apause")
    async def apause() -> None:
        await asyncio.sleep(0.01)

    @app.task(name="bench.clock")
    def clock() -> float:
        return time.time()


def _ending_otherwise(app: Any) -> None:
    @app.task(name="bench.fail")
    def fail() -> None:
        raise ValueError("it fails")

    @app.task(name="bench.again", bind=True)
    def again(self: Any) -> None:
        if not self.request.retries:
            raise self.retry(countdown=0)


def _typed(app: Any) -> None:
    import pydantic

    class Order(pydantic.BaseModel):
        number: int
        items: list[str]

    # The annotation is a class that no module has.
    def model(order: Any) -> int:
        return len(order.items)

    model.__annotations__["order"] = Order
    app.task(name="bench.model", pydantic=True)(model)


if "BENCH_LIBRARY" in os.environ:
    app = make(os.environ["BENCH_LIBRARY"], os.environ["BENCH_BROKER"], os.environ["BENCH_BACKEND"])
