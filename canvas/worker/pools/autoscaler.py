"""Adjusts the number of a node's slots to its work, between two bounds (Celery's ``--autoscale``)."""

import os
import time
from typing import Any

from canvas.app.application import Canvas
from canvas.execution.background import BackgroundService, Repeated
from canvas.telemetry import emit
from canvas.worker.monitoring.shared_memory import SharedMemory
from canvas.worker.options import WorkerOptions
from canvas.worker.pools.pool import Pool

_LOOK_EVERY = 0.5


class Autoscaler:
    """Grows a pool at once when work waits, and shrinks it when slots have been idle for some time."""

    def __init__(
        self, app: Canvas, plan: WorkerOptions, memory: SharedMemory, pool: Pool, most: int, fewest: int
    ) -> None:
        """``AUTOSCALE_KEEPALIVE`` in the environment: seconds that idle slots stay (30)."""
        self._app = app
        self._plan = plan
        self._memory = memory
        self._pool = pool
        self._most = most
        self._fewest = fewest
        self._keep = float(os.environ.get("AUTOSCALE_KEEPALIVE", "30"))
        self._needed_at = time.monotonic()
        self._service = BackgroundService("autoscaler", Repeated("autoscaler", self._look, _LOOK_EVERY))

    def start(self) -> None:
        """Look, and resize, from now on; an unreachable broker is asked again."""
        self._service.start()

    def stop(self) -> None:
        """End after the look in progress."""
        self._service.stop()

    def _look(self) -> float:
        now = time.monotonic()
        slots = self._plan.concurrency
        needed = min(self._most, max(self._fewest, self._demand()))
        if needed >= slots:
            self._needed_at = now
        if needed > slots or (needed < slots and now - self._needed_at >= self._keep):
            emit("worker.scaled", by=needed - slots)
            self._pool.resize(needed - slots)
        return _LOOK_EVERY

    def _demand(self) -> int:
        """The number of tasks that run or wait."""
        admin = self._app.driver.admin
        return self._memory.active + sum(admin.queue_length(queue) for queue in list(self._plan.queues))

    def change(self, most: int | None, fewest: int | None) -> None:
        """Set other bounds; ``None``: as they are. Raises ValueError when they contradict each other."""
        most = self._most if most is None else int(most)
        fewest = min(self._fewest, most) if fewest is None else int(fewest)
        if not 1 <= fewest <= most:
            raise ValueError(f"autoscale: expected 1 <= min <= max; got max={most} min={fewest}")
        self._most, self._fewest = most, fewest

    def stats(self) -> dict[str, Any]:
        """The bounds, the number of slots, and the number of running tasks (protocol.md §6)."""
        return {"max": self._most, "min": self._fewest, "current": self._plan.concurrency, "qty": self._memory.active}
