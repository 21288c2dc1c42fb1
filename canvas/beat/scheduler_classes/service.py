"""Beat with a scheduler class: a loop that calls the scheduler's ``tick``."""

import threading
import time
from contextvars import copy_context
from functools import cached_property, partial
from importlib.metadata import entry_points
from typing import Any

from canvas.beat import log
from canvas.beat.running import LOOKS_WITHIN, RETRY_EVERY, BeatService
from canvas.beat.scheduler_classes.persistent import PersistentScheduler
from canvas.beat.scheduler_classes.scheduler import DEFAULT_MAX_INTERVAL, SchedulerApp, write_if_due
from canvas.config.sources import imported
from canvas.errors import ConfigurationError, OperationalError

_GROUP = "celery.beat_schedulers"


class SchedulerService(BeatService):
    """Beat, for one app and one scheduler class. ``start`` runs it until ``stop``."""

    scheduler_cls: Any = PersistentScheduler

    def __init__(
        self, app: SchedulerApp, max_interval: float | None = None, schedule_filename: str | None = None,
        scheduler_cls: Any = None,
    ) -> None:  # fmt: skip
        """``max_interval``: the longest wait between two looks, seconds (default: ``beat_max_loop_interval``, else the
        scheduler's own). ``schedule_filename``: for schedulers that keep a file (default: ``beat_schedule_filename``).
        """
        super().__init__()
        self.app = app
        self.max_interval = max_interval or app.conf.beat_max_loop_interval or DEFAULT_MAX_INTERVAL
        self.schedule_filename = schedule_filename or app.conf.beat_schedule_filename
        self.scheduler_cls = scheduler_cls or self.scheduler_cls
        self._given_interval = max_interval
        self._looked_at = time.monotonic()
        self._is_stopped = threading.Event()

    def get_scheduler(self, lazy: bool = False, extension_namespace: str = _GROUP) -> Any:
        """An object of the scheduler class. Raises ConfigurationError when the class cannot be found."""
        found = scheduler_class(self.scheduler_cls, extension_namespace)
        return found(
            app=self.app, schedule_filename=self.schedule_filename, max_interval=self._given_interval, lazy=lazy
        )

    @cached_property
    def scheduler(self) -> Any:
        """The scheduler, made when it is first used."""
        return self.get_scheduler()

    def start(self, embedded: bool = False) -> None:
        """Run until ``stop``, or until the scheduler raises SystemExit; errors of the connection to the broker are
        logged, and the call is tried again."""
        self.announce(embedded)
        try:
            while not self._stopped.is_set():
                seconds = self._tick()
                self._looked_at = time.monotonic()
                if seconds and seconds > 0:
                    log.logger.debug("beat: Waking up in %.2f seconds.", seconds)
                    self._stopped.wait(seconds)
                    write_if_due(self.scheduler)
        except (KeyboardInterrupt, SystemExit):
            super().stop()
        finally:
            log.stopping()
            self.sync()

    def _tick(self) -> float:
        try:
            with self._tick_lock:
                return float(self.scheduler.tick() or 0)
        except OperationalError as exc:
            log.connection_lost(exc, RETRY_EVERY)
            return RETRY_EVERY

    def sync(self) -> None:
        """Close the scheduler."""
        self.scheduler.close()
        self._is_stopped.set()

    def stop(self, wait: bool = False) -> None:
        """End ``start``. ``wait``: until it has ended."""
        super().stop()
        if wait:
            self._is_stopped.wait()

    def trouble(self) -> str:
        return self.late_by(time.monotonic() - self._looked_at, float(self.scheduler.max_interval) + LOOKS_WITHIN)

    @property
    def about(self) -> str:
        shown = self.get_scheduler(lazy=True)
        lines = [f"    . scheduler -> {type(shown).__module__}.{type(shown).__qualname__}", shown.info]
        return "\n".join(line for line in lines if line)


def scheduler_class(named: Any, group: str = _GROUP) -> Any:
    """The class of a scheduler: itself, its path, or a name that an installed package has given it.

    Raises ConfigurationError.
    """
    if not isinstance(named, str):
        return named
    plugged = [point for point in entry_points(group=group) if point.name == named]
    path = plugged[0].value if plugged else named
    try:
        found = imported(path)
    except (ImportError, AttributeError) as exc:
        raise ConfigurationError(f"scheduler {named!r}: cannot import {path}: {exc}") from exc
    if not callable(getattr(found, "tick", None)):
        raise ConfigurationError(
            f"scheduler {named!r}: expected a class with a method tick, such as a subclass of celery.beat.Scheduler; "
            f"got {found!r:.100}"
        )
    return found


class EmbeddedService:
    """Beat on a thread of this process."""

    def __init__(self, app: SchedulerApp, max_interval: float | None = None, **options: Any) -> None:
        self.service = SchedulerService(
            app, max_interval, options.get("schedule_filename"), options.get("scheduler_cls")
        )
        run = partial(copy_context().run, self.service.start, True)
        self._thread = threading.Thread(target=run, name="Beat", daemon=True)

    def start(self) -> None:
        """Run until ``stop``."""
        self._thread.start()

    def stop(self) -> None:
        """End it, and wait until it has ended."""
        self.service.stop()
        self._thread.join()

    terminate = stop

    def is_alive(self) -> bool:
        return self._thread.is_alive()
