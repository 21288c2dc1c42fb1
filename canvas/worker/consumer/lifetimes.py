"""Keeps what the tasks and runs of one process need for as long as they need it, and ends what is cancelled."""

import math
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from canvas.app.application import Canvas
from canvas.errors import CanvasError
from canvas.execution.background import NEVER
from canvas.model.settlement import Keep, Settlement
from canvas.worker.settlement.job import Job
from canvas.worker.settlement.kept_chords import keeps
from canvas.workflows.cancelling import Cancellations
from canvas.workflows.progress.run_expiry import retire
from canvas.workflows.run import Run
from canvas.workflows.run_records import keep_waiting
from canvas.workflows.store import RunStore

SHORT = 0.25
"""Seconds; a task that ends sooner returns its part before anything can expire."""
_STARTS_WITHIN = 6.0
"""Seconds from a lease to the start of its first task, at most, and one more: leases are reported once a second."""
_RENEWS_EVERY = 60.0
"""Seconds, at most. Celery's workers leave a mark behind a chord for 300 s, by which it is known to have ended."""
WAITS_EVERY = 6 * 3_600.0
"""Seconds between two searches for runs that wait. A run has weeks left when the first one may find it."""
_DAY = 86_400


class Lifetimes:
    """Renews the chords and runs of one process while its tasks run."""

    def __init__(
        self, app: Canvas, runs: RunStore, running: Callable[[], list[Job]], beat: float, renews: bool = True
    ) -> None:
        """``beat``: seconds between two looks of a process that runs nothing, or fewer where results are kept for less.
        A process that runs tasks looks every 0.25 s.

        ``renews``: also renew the chords that live; one process of a node does.
        """
        self._app = app
        self._runs = runs
        self._running = running
        self._kept: dict[str, float] = {}
        self.expects_tasks = False
        """Set by the process when it has leased messages, within a second."""
        self._busy_until = 0.0
        self._renews = renews
        self._next_renewal = self._next_search = 0.0
        self._cancellations = Cancellations(runs, partial(Run.find, app))
        # Of Celery's keys, those that expire within this time have to be renewed before.
        self._every = max(SHORT, min(app.backend.chord_expires or _DAY, _DAY) / 3)
        self._idle_for = min(beat, self._every, WAITS_EVERY)

    def tick(self) -> float:
        """Do what is due. Returns the seconds until something is due again. Raises BrokerError."""
        if self._app.driver.results is None:
            return math.inf
        now = time.monotonic()
        if self.expects_tasks:
            self.expects_tasks = False
            self._busy_until = now + _STARTS_WITHIN
        running = self._running()
        self._keep(running, now)
        for runs in (self._runs, self._app.run_store):
            retire(self._app, runs)
        if self._renews and now >= self._next_renewal:
            every = min(self._every, _RENEWS_EVERY)
            self._next_renewal = now + every
            self._app.driver.settler.renew(every)
        if self._renews and self._app.driver.runs is not None:
            self._cancellations.tick(now)
            if now >= self._next_search:
                self._next_search = now + WAITS_EVERY
                keep_waiting(self._app, self._runs)
        return SHORT if running or now < self._busy_until else self._idle_for

    def _keep(self, tasks: list[Job], now: float) -> None:
        """Keep the chords that wait for tasks which run for long."""
        running = [one for one in tasks if (one.began or 0) <= time.time() - SHORT]
        kept = {one.delivery.tag: self._kept.get(one.delivery.tag, 0.0) for one in running}
        found: dict[str, Keep] = {}
        for one in running:
            if kept[one.delivery.tag] <= now - self._every or not kept[one.delivery.tag]:
                kept[one.delivery.tag] = now
                with suppress(CanvasError):  # what the message says of its future is looked at again at its end
                    found |= {keep.group_id: keep for keep in keeps(self._app, one.message)}
        self._kept = kept
        if found:
            self._app.driver.settler.settle([Settlement(None, fence="none", keeps=list(found.values()))])


class Looks:
    """When a process looks after what its tasks and runs need."""

    def __init__(self, look: Callable[[], float]) -> None:
        """``look`` returns the seconds until it is due again."""
        self._look = look
        self._next = 0.0
        self._asked = NEVER

    def ask(self, at: float) -> None:
        """Look at that time, by the monotonic clock, if not before. Safe from any thread."""
        self._asked = min(self._asked, at)

    def next(self) -> float:
        """When to look again."""
        return min(self._next, self._asked)

    def tick(self, now: float) -> None:
        """Look, where it is due."""
        if now >= self.next():
            self._asked = NEVER
            self._next = now + self._look()
