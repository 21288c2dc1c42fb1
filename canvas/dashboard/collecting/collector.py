"""One collector for each dashboard: threads that read events and queues, and ask workers."""

import logging
import math
import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from canvas.app.application import Canvas
from canvas.beat.schedule import EntryInfo
from canvas.dashboard.collecting import problems
from canvas.dashboard.collecting.cluster import KINDS, Cluster
from canvas.dashboard.collecting.families import Families
from canvas.dashboard.collecting.flows import Flows
from canvas.dashboard.collecting.health import Health
from canvas.dashboard.collecting.queues import Queues, TimesOfSending, consumers_of, listing_of, refusals
from canvas.dashboard.collecting.series import Series
from canvas.dashboard.collecting.stopped_runs import StoppedRun, StoppedRuns
from canvas.dashboard.collecting.workers import OF_ALL, Answers
from canvas.dashboard.options import DashboardOptions
from canvas.errors import CanvasError, ConfigurationError
from canvas.execution.background import BackgroundService
from canvas.model import states
from canvas.remote.cluster_entries import Task, Worker
from canvas.remote.events import Event

logger = logging.getLogger(__name__)
_LOOK_EVERY = 2.0
"""Seconds between two reads of the queues."""
_ASK_EVERY = 10.0
"""Seconds between two rounds of questions to workers."""
_RUNS_EVERY = 5.0
"""Seconds between two reads of the number of runs."""
_ANSWERED_WITHIN = 4.0
"""Seconds for which the first read of the queues waits for the answers of workers."""
_AGAIN = 1.0
"""Seconds after which a source that does not answer is tried again."""
_ENDS_WITHIN = 5.0
"""Seconds for which ``stop`` waits for each thread."""
_SCHEDULE_EVERY = 15.0
"""Seconds between two reads of the schedule."""
_GONE = 600.0
"""Seconds after its last heartbeat at which the answers of a worker are deleted."""
Taken = list[tuple[Event, Task | Worker]]


class Listener(Protocol):
    """Gets the events that the collector takes."""

    def __call__(self, taken: Taken) -> None: ...


class Collector:
    """Reads events and queues, and asks workers, from ``start`` until ``stop``."""

    def __init__(self, app: Canvas, options: DashboardOptions) -> None:
        self.app = app
        self.options = options
        self.cluster = Cluster(options.max_tasks, options.max_workers)
        self.series = Series()
        self.health = Health()
        self.answers = Answers(app, options.inspect_timeout)
        self.flows = Flows(self._route, self._consumed_by)
        self.queues = Queues(app, self.flows)
        self.families = Families(app, self.cluster)
        self.runs: dict[str, int] = {}
        """How many runs are in each state that is counted; empty where the result backend keeps no runs."""
        self.problems: list[problems.Problem] = []
        """Sentences for a person on call, as of the last read of the queues."""
        self._entries: list[EntryInfo] = []
        self._refusals: dict[str, str] = {}
        self.stopped_runs = StoppedRuns(app, self.answers)
        self._stopped_now: list[StoppedRun] = []
        self.history: Callable[[], dict[str, int]] | None = None
        """Gives how many ended tasks wait for the history's database, and how many were left out."""
        self.listeners: list[Listener] = []
        self.duties: list[tuple[str, float, Callable[[], object]]] = [
            ("queues", _LOOK_EVERY, self._watch_queues),
            ("workers", _ASK_EVERY, self._ask_workers),
            ("runs", _RUNS_EVERY, self._count_runs),
            ("groups", _LOOK_EVERY, self.families.read_groups),
            ("schedule", _SCHEDULE_EVERY, self._read_schedule),
        ]
        """The regular duties, each on a thread of its own: name, seconds between two calls, and function."""
        if (listed := listing_of(app, options.broker_api)) is not None:
            self.duties.append(("broker_api", _ASK_EVERY, lambda: self.queues.note_all(listed())))
        self._stopped = threading.Event()
        self._asked = threading.Event()
        """Workers have been asked which queues they consume, and had the time to answer."""
        self._services: list[BackgroundService] = []
        self._lock = threading.Lock()

    def start(self) -> bool:
        """Begin, unless it has begun already; returns whether it begins."""
        with self._lock:
            if self._services:
                return False
            self._stopped.clear()
            duties = [("events", _AGAIN, self._read_until_cut_off), *self.duties]
            self._services = [BackgroundService(f"dashboard-{duty[0]}", partial(self._do, *duty)) for duty in duties]
            for service in self._services:
                service.start()
            return True

    def stop(self) -> None:
        """End all threads."""
        with self._lock:
            self._stopped.set()
            for service in self._services:
                service.stop()
            for service in self._services:
                service.stop(within=_ENDS_WITHIN)
            self._services = []

    def _do(self, name: str, seconds: float, function: Callable[[], object]) -> float:
        """Do a duty. Returns the seconds until it is due again."""
        try:
            function()
        except CanvasError as exc:
            self.health.bad(name, exc)
        except Exception as exc:
            # Events and answers may have any form; the thread has to live on, and the page shows the error.
            logger.exception("dashboard: cannot read the %s", name)
            self.health.bad(name, exc)
        else:
            self.health.good(name)
        return seconds if self.health.answers(name) else _AGAIN

    def _read_until_cut_off(self) -> None:
        enabled = 0.0
        for events in self.app.events.batches():
            if self._stopped.is_set():
                return
            self.health.good("events")
            if self.options.enable_events and time.monotonic() - enabled > _ASK_EVERY:
                self.app.control.enable_events()
                enabled = time.monotonic()
            if events:
                self.take(events)

    def take(self, events: list[Event]) -> None:
        """Take events that were read."""
        taken = self.cluster.take(events)
        counts: Counter[str] = Counter(events=len(taken))
        runtimes, waits = list[float](), list[float]()
        for event, entry in taken:
            kind = event["type"].removeprefix("task-")
            if not isinstance(entry, Task) or kind not in KINDS:
                continue
            counts[kind] += 1
            if kind == "succeeded" and "runtime" in event:
                runtimes.append(event["runtime"])
            elif kind == "received":
                self.flows.take(entry)
            elif kind == "sent":
                self.queues.note(event.get("queue"))
            elif kind == "started" and not entry.eta and isinstance(entry.sent, int | float):
                waits.append(max(0.0, event["timestamp"] - entry.sent))
        self.series.count(counts, runtimes, waits)
        self.stopped_runs.take(entry for _, entry in taken if isinstance(entry, Task))
        for listener in self.listeners:
            listener(taken)

    def _route(self, name: str) -> str | None:
        try:
            route = self.app.router.route(name, {})
        except Exception:
            # The app's functions may need the arguments of the call, of which an event has only the text.
            logger.debug("dashboard: the queue of %s is not known", name, exc_info=True)
            return None
        return route.queue.name if route.queue is not None else route.routing_key

    def _consumed_by(self, worker: str) -> list[str]:
        queues = self.answers.one(worker).get("active_queues")
        return list(consumers_of([(worker, queues)]))

    def _watch_queues(self) -> None:
        """Read the queues. The first read waits for the workers' answers: without them no queue seems to have a
        consumer."""
        self._asked.wait(_ANSWERED_WITHIN)
        self._look_at_queues()

    def _look_at_queues(self) -> None:
        answers = [(name, found.get("active_queues")) for name, found in self.answers.all().items()]
        workers = self.cluster.workers_now()
        alive = {worker.hostname for worker in workers if worker.alive}
        gone = {worker.hostname for worker in workers} - alive  # an answer may come before the first heartbeat
        consumers = consumers_of((name, queues) for name, queues in answers if name not in gone)
        self.queues.look(consumers, TimesOfSending(self.cluster.task))
        self._refusals = refusals(self.app)
        self.series.sample({**self.queues.samples(), "workers": float(len(alive))})
        self.problems = self._find_problems(workers)

    def _find_problems(self, workers: list[Worker]) -> list[problems.Problem]:
        now, known, tasks = time.time(), self.answers.all(), self.cluster.tasks_now()
        answered = {name: found["timestamp"] for name, found in known.items() if "timestamp" in found}
        return [
            *problems.of_refusals(self._refusals),
            *problems.of_workers(workers, answered, now),
            *problems.of_queues(self.queues.states.values()),
            *problems.of_runs(self._stopped_now),
            *problems.of_schedule(self._entries, now),
            *problems.of_memory(self.answers.memory.grown()),
            *problems.of_slow_workers(tasks, now),
            *problems.of_tasks(tasks, now),
        ]

    def _read_schedule(self) -> None:
        try:
            self._entries = self.app.schedule.list()
        except ConfigurationError:
            self._entries = []  # the broker cannot keep entries: the page of schedules says why

    def _ask_workers(self) -> None:
        workers = self.cluster.workers_now()
        alive = [worker for worker in workers if worker.alive]
        try:
            self.answers.ask(OF_ALL[:1], expected=len(alive))
        finally:
            self._asked.set()
        self.answers.ask(OF_ALL[1:], expected=len(alive))
        now, purged = time.time(), self.options.purge_offline
        for worker in workers:
            if worker.alive:
                continue
            silent = now - worker.heartbeats[-1] if worker.heartbeats else math.inf
            if silent > _GONE:
                self.answers.forget(worker.hostname or "")
            if purged is not None and silent > purged:
                self.answers.forget(worker.hostname or "")
                self.cluster.forget_worker(worker.hostname or "")

    def _count_runs(self) -> None:
        if self.app.driver.runs is None:
            return
        self.runs = {
            "running": self.app.runs.count(state=[states.PENDING, states.STARTED]),
            "failed": self.app.runs.count(state=states.FAILURE),
        }
        self._stopped_now = self.stopped_runs.look()

    def overview(self) -> dict[str, Any]:
        """The figures of the first page."""
        workers, states_of_queues = self.cluster.workers_now(), list(self.queues.states.values())
        ages = [(one.oldest, one.oldest_at_least) for one in states_of_queues if one.oldest is not None]
        oldest, at_least = max(ages, default=(None, False))
        return {
            "now": time.time(),
            "sources": self.health.as_dict(),
            "workers": {
                "alive": sum(worker.alive for worker in workers),
                "known": len(workers),
                "active": sum(_number(worker.active) for worker in workers if worker.alive),
            },
            "rates": self.series.rates(),
            "totals": dict(self.series.totals()),
            "latency": self.series.latency(),
            "waiting": sum(one.waiting for one in states_of_queues),
            "dead": sum(one.dead for one in states_of_queues),
            "oldest": oldest,
            "oldest_at_least": at_least,
            "queues": [one.as_dict() for one in states_of_queues],
            "in_flight": self.queues.in_flight,
            "runs": self.runs,
            "problems": [problem._asdict() for problem in self.problems],
            "history": self.history() if self.history is not None else None,
            "revision": self.cluster.revision,
            "malformed": self.cluster.malformed,
        }


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0
