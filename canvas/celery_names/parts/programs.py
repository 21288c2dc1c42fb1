"""``app.Worker`` and ``app.Beat``: programs of an app, started by code."""

from collections.abc import Callable
from typing import Any

from canvas.app.application import Canvas
from canvas.beat.service import Service
from canvas.celery_names.utils.functional import maybe_list
from canvas.errors import ConfigurationError
from canvas.worker.logs.setup import WorkerLog, own_log
from canvas.worker.node import NodeSetup, plan_node, run_node
from canvas.worker.options import WorkerOptions

_OTHER_NAMES = {"pool_cls": "pool", "task_events": "events", "hostname": "hostname"}
_OPTIONS = ("hostname", "concurrency", "pool", "prefetch_multiplier", "max_tasks_per_child", "max_memory_per_child",
            "events")  # fmt: skip


class Worker:
    """``app.Worker(...)``: a worker that ``start`` runs in this process until it is stopped."""

    app: Canvas

    def __init__(
        self, app: Canvas | None = None, hostname: str | None = None, loglevel: str | int | None = None,
        logfile: str | None = None, queues: Any = None, exclude_queues: Any = None, **options: Any,
    ) -> None:  # fmt: skip
        """Celery's options of a worker. Raises ConfigurationError for what canvas' workers do not have."""
        if app is not None:
            self.app = app
        known = {_OTHER_NAMES.get(name, name): value for name, value in options.items() if value is not None}
        plan = {name: known[name] for name in _OPTIONS if name in known}
        if not isinstance(plan.get("pool", ""), str):
            raise ConfigurationError(f"Worker: pool: expected a pool's name; got {plan['pool']!r:.100}")
        self.hostname = hostname
        self.options = {**options, "hostname": hostname, "loglevel": loglevel, "logfile": logfile}
        self._level, self._logfile = loglevel, logfile
        self._plan = {**plan, "hostname": hostname, "queues": _names(queues), "exclude_queues": _names(exclude_queues)}
        self.exitcode: int | None = None

    def plan(self) -> WorkerOptions:
        """Load the tasks, and decide what the worker runs. Raises ConfigurationError."""
        return plan_node(self.app, **self._plan)

    def start(self) -> int:
        """Run until stopped, by a signal or by remote control; the exit code. Raises ConfigurationError."""
        plan = self.plan()
        self.hostname = plan.hostname
        level = "WARNING" if self._level is None else str(self._level)
        log = WorkerLog(self.app.conf, plan.hostname, level, self._logfile, tasks=self.app.tasks, own=own_log(self.app))
        try:
            log.open()
            self.exitcode = run_node(self.app, plan, NodeSetup(options=self.options))
        finally:
            log.close()
        return self.exitcode

    def stop(self, in_sighandler: bool = False, exitcode: int | None = None) -> None:
        """Ask it, by remote control, to end after the tasks that run. The parameters have no effect."""
        self.app.control.shutdown(destination=[self.hostname] if self.hostname else None)

    terminate = stop


class Beat:
    """``app.Beat(...)``: beat, which ``run`` runs in this process until it is stopped."""

    app: Canvas

    def __init__(
        self, max_interval: float | None = None, app: Canvas | None = None, schedule: str | None = None,
        loglevel: str | int = "WARNING", logfile: str | None = None, **options: Any,
    ) -> None:  # fmt: skip
        if app is not None:
            self.app = app
        self._service: Callable[[], Service] = lambda: Service(self.app, max_interval, schedule)
        self._log = (str(loglevel), logfile)

    def run(self) -> None:
        """Send periodic tasks until the process ends."""
        self.app.import_task_modules()
        level, logfile = self._log
        log = WorkerLog(self.app.conf, "beat", level, logfile, tasks=self.app.tasks, own=own_log(self.app))
        try:
            log.open()
            self._service().start()
        finally:
            log.close()


def _names(queues: Any) -> list[str]:
    if isinstance(queues, str):
        return [name.strip() for name in queues.split(",") if name.strip()]
    return [str(getattr(queue, "name", queue)) for queue in maybe_list(queues) or ()]


def worker_class(app: Canvas) -> type[Worker]:
    """``Worker``, for this app."""
    return type("Worker", (Worker,), {"app": app})


def beat_class(app: Canvas) -> type[Beat]:
    """``Beat``, for this app."""
    return type("Beat", (Beat,), {"app": app})
