"""Telemetry → Prometheus metrics, with the names of celery-exporter where it has the same metric.

All processes of a node write into files of one directory (prometheus_client's multiprocess mode), and the node's
first process serves the sum.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import Any, Protocol

from canvas.drivers.ports import Driver
from canvas.errors import BrokerError
from canvas.model.outcome import Failure, Ignored, Outcome, Rejected, ReplacedBy, Retried, Revoked, Success
from canvas.telemetry import attach, emit

_DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
_RUNTIMES = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 600, 3600)
_BATCHES = (1, 2, 4, 8, 16, 32, 64, 128)


@contextmanager
def directory() -> Iterator[None]:
    """The directory that prometheus_client looks for when it is first imported: enter before that.

    It is deleted at the end of the block, unless the environment names it.
    """
    if os.environ.get(_DIRECTORY):
        yield
        return
    # Its writers may still be at work when the block ends.
    with TemporaryDirectory(prefix="canvas-metrics-", ignore_cleanup_errors=True) as made:
        os.environ[_DIRECTORY] = made
        yield


class ActiveCount(Protocol):
    """Knows how many tasks the processes of a node run."""

    @property
    def active(self) -> int: ...


class Metrics:
    """The metrics of one node for Prometheus. Needs prometheus_client (``canvas-workflows[prometheus]``)."""

    def __init__(self, driver: Driver, hostname: str, queues: list[str], memory: ActiveCount) -> None:
        from prometheus_client import CollectorRegistry, Counter, Histogram

        self._driver = driver
        self._hostname = hostname
        self._queues = queues
        self._memory = memory
        registry = CollectorRegistry()
        task, failed = ("name", "hostname"), ("name", "hostname", "exception")
        self._received, self._started, self._succeeded, self._retried, self._rejected, self._revoked, self._ignored = (
            Counter(f"celery_task_{kind}", f"Tasks {kind}.", task, registry=registry)
            for kind in ("received", "started", "succeeded", "retried", "rejected", "revoked", "ignored")
        )
        self._failed = Counter("celery_task_failed", "Tasks failed.", failed, registry=registry)
        self._runtime = Histogram(
            "celery_task_runtime", "Seconds that tasks ran.", task, buckets=_RUNTIMES, registry=registry
        )
        self._wait = Histogram(
            "canvas_task_prefetch_wait_seconds",
            "Seconds from the lease of a message to the start of its task.",
            task,
            buckets=_RUNTIMES,
            registry=registry,
        )
        self._dead = Counter(
            "canvas_dead_letters", "Messages that became dead letters.", ("queue_name",), registry=registry
        )
        self._chord_dispatched = Counter(
            "canvas_chords_completed", "Chords that ended.", ("hostname",), registry=registry
        )
        self._batch = Histogram(
            "canvas_settlement_batch",
            "Settlements in one call to the broker.",
            ("hostname",),
            buckets=_BATCHES,
            registry=registry,
        )

    def listen(self) -> None:
        """Count from now on, in this process and those forked from it."""
        attach(self._on_received, "task.received")
        attach(self._on_started, "task.started")
        attach(self._on_finished, "task.finished")
        attach(lambda queue, **_: self._dead.labels(queue).inc(), "message.dead_lettered")
        attach(lambda **_: self._chord_dispatched.labels(self._hostname).inc(), "chord.dispatched")
        attach(self._on_exchanged, "batch.settled")

    def _on_received(self, message: Any, **_: Any) -> None:
        self._received.labels(message.task, self._hostname).inc()

    def _on_started(self, message: Any, waited: float, **_: Any) -> None:
        self._started.labels(message.task, self._hostname).inc()
        self._wait.labels(message.task, self._hostname).observe(waited)

    def _on_finished(self, message: Any, outcome: Outcome, runtime: float, **_: Any) -> None:
        labels = (message.task, self._hostname)
        match outcome:
            case Success():
                self._succeeded.labels(*labels).inc()
                self._runtime.labels(*labels).observe(runtime)
            case Failure(exc):
                self._failed.labels(*labels, type(exc).__name__).inc()
                self._runtime.labels(*labels).observe(runtime)
            case Retried():
                self._retried.labels(*labels).inc()
            case Rejected():
                self._rejected.labels(*labels).inc()
            case Revoked():
                self._revoked.labels(*labels).inc()
            case Ignored() | ReplacedBy():
                self._ignored.labels(*labels).inc()

    def _on_exchanged(self, settled: int, **_: Any) -> None:
        if settled:
            self._batch.labels(self._hostname).observe(settled)

    def page(self) -> bytes:
        """Everything as Prometheus' text, queue lengths as they are now."""
        from prometheus_client import CollectorRegistry, generate_latest
        from prometheus_client.multiprocess import MultiProcessCollector

        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        registry.register(_Now(self))
        return generate_latest(registry)

    def now(self) -> list[tuple[str, str, str, dict[str, float]]]:
        """Gauges: name, help, label, the value of each."""
        memory, me = self._memory, self._hostname
        admin = self._driver.admin
        try:
            lengths = {queue: float(admin.queue_length(queue)) for queue in self._queues}
            dead = {queue: float(admin.dead_letter_count(queue)) for queue in self._queues}
            away = {state: float(count) for state, count in admin.in_flight()._asdict().items()}
        except BrokerError as exc:
            emit("broker.unreachable", error=str(exc))
            lengths = dead = away = {}
        return [
            ("celery_worker_up", "1 while the worker runs.", "hostname", {me: 1.0}),
            ("celery_worker_tasks_active", "Running tasks.", "hostname", {me: float(memory.active)}),
            ("celery_queue_length", "Waiting messages.", "queue_name", lengths),
            ("canvas_messages_in_flight", "Messages leased, delayed or blocked, of all queues.", "state", away),
            ("canvas_dead_letter_queue_length", "Dead letters that are kept.", "queue_name", dead),
        ]


class _Now:
    """Gauges read when they are asked for."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> list[Any]:
        from prometheus_client.core import GaugeMetricFamily

        families = []
        for name, text, label, values in self._metrics.now():
            family = GaugeMetricFamily(name, text, labels=[label])
            for labelled, value in values.items():
                family.add_metric([labelled], value)
            families.append(family)
        return families
