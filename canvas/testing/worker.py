"""A worker on a thread of the test's process."""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any
from uuid import uuid4

from canvas.app.application import Canvas
from canvas.errors import BrokerError, ConfigurationError, TimeoutError
from canvas.telemetry import attach
from canvas.worker.extending.controller import Worker
from canvas.worker.node import plan_node, run_node
from canvas.worker.options import NodeSetup, WorkerOptions

_POOLS = ("solo", "threads")
_READY_WITHIN = 30.0
_TAKEN_WITHIN = 2.0
"""Seconds in which a worker that is to stop still takes messages: as long as Celery's waits for the next one."""


class _Running:
    """A node on a thread."""

    def __init__(self, app: Canvas, plan: WorkerOptions, options: Mapping[str, Any]) -> None:
        self._app, self._plan, self._options = app, plan, options
        self._ready = threading.Event()
        self._worker: Worker | None = None
        self._failure: BaseException | None = None
        self._detach = attach(self._note, "worker.ready")
        self._thread = threading.Thread(target=self._run, name="canvas-test-worker", daemon=True)
        self._thread.start()

    def _note(self, hostname: str, consumer: Any, **_: Any) -> None:
        if hostname == self._plan.hostname:
            self._worker = consumer.controller
            self._ready.set()

    def _run(self) -> None:
        try:
            run_node(self._app, self._plan, NodeSetup(mingles=False, options=self._options))
        except BaseException as exc:  # noqa: BLE001 - the test's thread raises it
            self._failure = exc
        finally:
            self._ready.set()

    def worker(self) -> Worker:
        """The worker, once it takes tasks."""
        self._ready.wait(_READY_WITHIN)
        if self._failure is not None:
            raise self._failure
        if self._worker is None:
            raise TimeoutError(f"start_worker: the worker has not started within {_READY_WITHIN:g} seconds")
        return self._worker

    def _take_what_was_sent(self, worker: Worker) -> None:
        """Wait until its messages have started: tests read the results of their last calls after the block, too. A
        worker that stops returns messages that it has leased and not started."""
        until = time.monotonic() + _TAKEN_WITHIN
        with suppress(BrokerError):
            while self._thread.is_alive() and self._has_unstarted(worker) and time.monotonic() < until:
                time.sleep(0.01)

    def _has_unstarted(self, worker: Worker) -> bool:
        """Whether a message waits in a queue, or more are leased than run. A message that is on its way from RabbitMQ,
        or prefetched in Redis and not leased yet, may be in neither number."""
        admin = self._app.driver.admin
        if any(admin.queue_length(queue, retry=False) for queue in self._plan.queues):
            return True
        return admin.in_flight().leased > len(worker.active_requests)

    def stop(self, within: float) -> None:
        self._detach()
        if self._worker is not None:
            self._take_what_was_sent(self._worker)
            self._worker.stop()
        self._thread.join(within)
        if self._thread.is_alive():
            raise TimeoutError(f"start_worker: tasks still run {within:g} seconds after the worker was stopped")


@contextmanager
def start_worker(
    app: Canvas, concurrency: int = 1, pool: str = "solo", loglevel: str | int | None = None,
    logfile: str | None = None, perform_ping_check: bool = True, ping_task_timeout: float = 10.0,
    shutdown_timeout: float = 10.0, hostname: str | None = None, queues: Any = None, **options: Any,
) -> Iterator[Worker]:  # fmt: skip
    """Run a worker of ``app`` on a thread until the block has ended; gives the worker, which takes tasks by then.

    ``pool``: ``solo`` or ``threads``. ``hostname``: by default a name of its own. ``queues``: names,
    by default all of the app. ``loglevel`` and ``logfile`` set up
    a log; without them lines go to the loggers that the test has set up. ``shutdown_timeout``: seconds in which running
    tasks have to end. ``perform_ping_check`` and ``ping_task_timeout`` are accepted, and not needed: a worker that is
    ready takes tasks. The app's bootsteps get ``options``. Raises ConfigurationError for other pools, and TimeoutError
    for a worker that does not start or end in time.
    """
    if pool not in _POOLS:
        raise ConfigurationError(f"start_worker: expected pool solo or threads, on a thread of the test; got {pool!r}")
    names = queues.split(",") if isinstance(queues, str) else [str(getattr(one, "name", one)) for one in queues or ()]
    app.finalize()
    if loglevel is not None or logfile is not None:
        app.log.setup(loglevel, logfile)
    name = hostname or f"test-{uuid4().hex[:8]}@{app.hostname}"
    plan = plan_node(app, hostname=name, queues=names, concurrency=concurrency, pool=pool, heartbeat=None)
    running = _Running(app, plan, options)
    try:
        yield running.worker()
    finally:
        running.stop(shutdown_timeout)
