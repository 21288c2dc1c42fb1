"""``app.Worker`` and ``app.Beat``: programs of an app, started by code."""

import logging
from typing import Any

from canvas.app.application import Canvas
from canvas.beat.sources import service_of
from canvas.celery_names.utils.functional import maybe_list
from canvas.errors import ConfigurationError
from canvas.worker.logs.setup import WorkerLog, own_log
from canvas.worker.node import plan_node, run_node
from canvas.worker.options import NodeSetup, WorkerOptions
from canvas.worker.process_files import ProcessFiles

_OTHER_NAMES = {
    "pool_cls": "pool", "task_events": "events", "O": "optimization", "task_time_limit": "time_limit",
    "task_soft_time_limit": "soft_time_limit", "heartbeat_interval": "heartbeat",
}  # fmt: skip
_OPTIONS = ("concurrency", "pool", "prefetch_multiplier", "max_tasks_per_child", "max_memory_per_child", "events",
            "heartbeat")  # fmt: skip
_SETTINGS = {
    "time_limit": "task_time_limit", "soft_time_limit": "task_soft_time_limit",
    "disable_rate_limits": "worker_disable_rate_limits", "disable_prefetch": "worker_disable_prefetch",
    "pool_restarts": "worker_pool_restarts",
}  # fmt: skip
"""By the name of an option, the setting that it changes."""


class Worker:
    """``app.Worker(...)``: a worker that ``start`` runs in this process until it is stopped."""

    app: Canvas

    def __init__(
        self, app: Canvas | None = None, hostname: str | None = None, loglevel: str | int | None = None,
        logfile: str | None = None, queues: Any = None, exclude_queues: Any = None, **options: Any,
    ) -> None:  # fmt: skip
        """Celery's options of a worker. Raises ConfigurationError for options that canvas' workers do not have."""
        if app is not None:
            self.app = app
        known = {_OTHER_NAMES.get(name, name): value for name, value in options.items() if value is not None}
        plan = {name: known[name] for name in _OPTIONS if name in known}
        if not isinstance(plan.get("pool", ""), str):
            raise ConfigurationError(f"Worker: pool: expected a pool's name; got {plan['pool']!r:.100}")
        if known.get("beat"):
            raise ConfigurationError("Worker: beat: start beat by app.Beat, or the worker by canvas worker -B")
        if known.get("without_heartbeat"):
            plan["heartbeat"] = None
        if known.get("optimization") == "fair":
            plan.setdefault("prefetch_multiplier", 1)
        self.hostname = hostname
        self.options = {**options, "hostname": hostname, "loglevel": loglevel, "logfile": logfile}
        self._level, self._logfile, self._known = loglevel, logfile, known
        self._plan = {
            **plan, "hostname": hostname, "queues": _names(queues), "exclude_queues": _names(exclude_queues),
            "autoscale": _bounds(known.get("autoscale")),
        }  # fmt: skip
        self.exitcode: int | None = None

    def plan(self) -> WorkerOptions:
        """Load the tasks, and decide what the worker runs. Raises ConfigurationError."""
        conf = self.app.conf
        for name, setting in _SETTINGS.items():
            if name in self._known:
                setattr(conf, setting, self._known[name])
        conf.include = [*conf.include, *(one for one in _names(self._known.get("include")) if one not in conf.include)]
        return plan_node(self.app, **self._plan)

    def start(self) -> int:
        """Run until stopped, by a signal or by remote control. Returns the exit code. Raises ConfigurationError."""
        plan = self.plan()
        self.hostname = plan.hostname
        level = _level_name("WARNING" if self._level is None else self._level)
        log = WorkerLog(self.app.conf, plan.hostname, level, self._logfile, tasks=self.app.tasks, own=own_log(self.app))
        setup = NodeSetup(
            files=ProcessFiles(self._known.get("pidfile")), mingles=not self._known.get("without_mingle"),
            purge=bool(self._known.get("purge")), options=self.options,
        )  # fmt: skip
        try:
            log.open()
            self.exitcode = run_node(self.app, plan, setup)
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
        self, max_interval: float | None = None, app: Canvas | None = None, socket_timeout: float = 30,
        pidfile: str | None = None, no_color: bool | None = None, loglevel: str | int = "WARN",
        logfile: str | None = None, schedule: str | None = None, scheduler: Any = None, scheduler_cls: Any = None,
        **options: Any,
    ) -> None:  # fmt: skip
        """Celery's options of beat. ``scheduler`` or ``scheduler_cls``: a name or a class as ``canvas beat -S`` takes
        it; ``beat_scheduler`` by default. ``socket_timeout`` and further options have no effect."""
        if app is not None:
            self.app = app
        self.max_interval, self.schedule, self.pidfile = max_interval, schedule, pidfile
        self.scheduler_cls = scheduler or scheduler_cls or self.app.conf.beat_scheduler
        self.loglevel, self.logfile = loglevel, logfile
        self._color = None if no_color is None else not no_color

    def run(self) -> None:
        """Send periodic tasks until the process ends. Raises ConfigurationError."""
        self.app.import_task_modules()
        service = service_of(self.app, self.scheduler_cls, self.max_interval, self.schedule)
        files = ProcessFiles(self.pidfile)
        log = WorkerLog(
            self.app.conf, "beat", _level_name(self.loglevel), self.logfile, color=self._color, tasks=self.app.tasks,
            own=own_log(self.app),
        )  # fmt: skip
        files.acquire()
        try:
            log.open()
            service.start()
        finally:
            log.close()
            files.remove()


def _level_name(level: str | int) -> str:
    return logging.getLevelName(level) if isinstance(level, int) else level.upper()


def _bounds(autoscale: Any) -> tuple[int, int] | None:
    """The most and the fewest tasks: ``"10,3"``, or the two numbers. Raises ConfigurationError."""
    if not autoscale:
        return None
    parts = autoscale.split(",") if isinstance(autoscale, str) else list(autoscale)
    try:
        most, fewest = int(parts[0]), int(parts[1] or 1) if len(parts) > 1 else 1
    except ValueError:
        raise ConfigurationError(f"autoscale: expected max,min, such as 10,3; got {autoscale!r}") from None
    return most, fewest


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
