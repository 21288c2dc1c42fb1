"""The benchmark's task, for the worker that ``BENCH_LIBRARY`` names."""

import os


def make(library: str, broker: str, backend: str):  # type: ignore[no-untyped-def]
    """An app with one task that does nothing."""
    if library == "celery":
        from celery import Celery

        app = Celery("bench", broker=broker, backend=backend)
        app.conf.broker_connection_retry_on_startup = True
    else:
        from canvas import Canvas

        app = Canvas("bench", broker=broker, backend=backend)

    @app.task(name="bench.noop")
    def noop() -> None:
        return None

    return app


if "BENCH_LIBRARY" in os.environ:
    app = make(os.environ["BENCH_LIBRARY"], os.environ["BENCH_BROKER"], os.environ["BENCH_BACKEND"])
