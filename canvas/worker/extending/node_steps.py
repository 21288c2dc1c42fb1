"""The steps of one node: made with it, started when it opens, stopped when it closes."""

from collections.abc import Mapping
from typing import Any

from canvas.app.application import Canvas
from canvas.telemetry import attach
from canvas.worker.extending import state
from canvas.worker.extending.bootsteps import Steps
from canvas.worker.extending.controller import Consumer, Worker
from canvas.worker.monitoring.shared_memory import SharedMemory
from canvas.worker.options import WorkerOptions
from canvas.worker.pools.pool import Pool


class UserSteps:
    """Runs the steps of ``app.steps`` beside a pool."""

    def __init__(
        self, app: Canvas, plan: WorkerOptions, pool: Pool, memory: SharedMemory, options: Mapping[str, Any]
    ) -> None:
        """``options``: those of the command line. Raises ConfigurationError for steps that cannot be put in order."""
        self._app = app
        self._pool = pool
        self.worker = worker = Worker(app, plan, pool, options)
        self.consumer: Consumer = worker.consumer
        self._steps = [
            Steps(worker, app.steps["worker"], 'app.steps["worker"]', options),
            Steps(worker.consumer, app.steps["consumer"], 'app.steps["consumer"]', options),
        ]
        state.enter_node(app, pool, memory)
        self._detach = attach(self._stopping, "worker.stopping")

    def start(self) -> None:
        """Start the worker's steps, then the consumer's."""
        for steps in self._steps:
            steps.start()

    def stop(self) -> None:
        """Stop the timer, the consumer's steps, and then the worker's."""
        self._stop(False)
        self._detach()
        state.leave_node()

    def _stop(self, at_once: bool) -> None:
        # Celery's timer runs on the thread that stops the steps: none of its functions runs beside a step's stop().
        self.worker.timer.stop()
        for steps in reversed(self._steps):
            steps.stop(at_once)

    def _stopping(self, how: str, **_: Any) -> None:
        if how == "cold":
            self._stop(True)
