"""Running beat: the parts that a service of the store and one of a scheduler class share."""

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextvars import copy_context

from canvas.beat import log
from canvas.execution.background import NEVER, BackgroundService
from canvas.telemetry import emit

LOOKS_WITHIN = 30.0
"""Seconds beyond the longest wait after which a beat that has not looked for due entries is not healthy."""
RETRY_EVERY = 2.0
"""Seconds until beat tries again after a lost connection."""


class BeatService(ABC):
    """Beat in this process: ``start`` runs it until ``stop``."""

    max_interval: float
    """The longest wait between two looks for due entries, in seconds."""

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self._tick_lock: threading.Lock = threading.Lock()

    @abstractmethod
    def start(self, embedded: bool = False) -> None:
        """Run until ``stop``. ``embedded``: in the process of a worker."""

    @abstractmethod
    def trouble(self) -> str:
        """Why this beat is not healthy: it has not looked for due entries for long. Empty when it is healthy."""

    @property
    @abstractmethod
    def about(self) -> str:
        """Lines for beat's banner: where the entries are."""

    @staticmethod
    def late_by(idle: float, limit: float) -> str:
        """The words for a beat that last looked ``idle`` seconds ago; none within ``limit``."""
        return f"beat has not looked for due entries for {idle:.0f} s" if idle > limit else ""

    def announce(self, embedded: bool) -> None:
        """Say that this beat starts; of one in a worker's process it is said that too, as Celery's does."""
        log.starting()
        emit("beat.starting", service=self)
        if embedded:
            emit("beat.embedded", service=self)

    def stop(self) -> None:
        """End ``start``; safe in a signal handler."""
        self._stopped.set()

    def keep_from_forks(self) -> None:
        """Fork no process of this one during a tick: the copy could not use the locks that the tick holds then."""
        turn = self._tick_lock
        os.register_at_fork(before=turn.acquire, after_in_parent=turn.release, after_in_child=turn.release)


def start_thread(service: BeatService) -> Callable[[], None]:
    """Run a service in a thread of this process, as ``canvas worker -B`` does; returns what ends it."""
    service.keep_from_forks()
    # Schedulers of programs read their context, such as Flask's application; Celery's beat inherits it by a fork.
    context = copy_context()

    def run() -> float:
        context.run(service.start, True)
        return NEVER

    background = BackgroundService("beat", run)
    background.start()

    def end() -> None:
        service.stop()
        background.stop(within=10.0)

    return end
