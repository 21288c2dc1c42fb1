"""The events that a dashboard reads → Prometheus metrics, with the names of celery-exporter and of Flower."""

from collections import Counter as Counts
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 30, 60, 300, 3600)
_PAIRS = 5_000
"""Pairs of a task's name and a worker that have metrics of their own; of further ones the name is ``other``."""
_CHILDREN = 100_000
"""Combinations of labels that have counts of their own; all labels of further ones are ``other``."""
_KINDS = ("sent", "received", "started", "succeeded", "failed", "rejected", "revoked", "retried")


class DashboardMetrics:
    """The metrics of a dashboard. Needs prometheus_client (``canvas-workflows[dashboard]``)."""

    def __init__(self, buckets: Sequence[float] = ()) -> None:
        """``buckets``: upper bounds of runtimes, in seconds; some usual ones without it."""
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        self._registry = CollectorRegistry()
        bounds = sorted(buckets) or _BUCKETS
        labels, registry = ("name", "hostname", "queue_name"), self._registry
        self._tasks = {
            kind: Counter(f"celery_task_{kind}", f"Tasks {kind}.",
                          (*labels, "exception") if kind == "failed" else labels, registry=registry)
            for kind in _KINDS
        }  # fmt: skip
        self._runtime = Histogram("celery_task_runtime", "Seconds that tasks ran.", labels, buckets=bounds,
                                  registry=registry)  # fmt: skip
        self._events = Counter("flower_events", "Number of events", ("worker", "type", "task"), registry=registry)
        self._flower_runtime = Histogram("flower_task_runtime_seconds", "Task runtime", ("worker", "task"),
                                         buckets=bounds, registry=registry)  # fmt: skip
        pair = ("worker", "task")
        self._prefetch = Gauge("flower_task_prefetch_time_seconds",
                               "The time the task spent waiting at the celery worker to be executed.", pair,
                               registry=registry)  # fmt: skip
        self._prefetched = Gauge("flower_worker_prefetched_tasks",
                                 "Number of tasks of given type prefetched at a worker", pair,
                                 registry=registry)  # fmt: skip
        self._known: set[tuple[str, str]] = set()
        self._children: dict[tuple[Any, ...], Any] = {}

    def _child(self, metric: Any, *labels: str) -> Any:
        """A metric's child. ``labels()`` of prometheus_client takes too long for each event."""
        found = self._children.get((metric, labels))
        if found is not None:
            return found
        if len(self._children) >= _CHILDREN:
            return metric.labels(*("other",) * len(labels))
        found = self._children[metric, labels] = metric.labels(*labels)
        return found

    def take(self, taken: Iterable[tuple[dict[str, Any], Any]]) -> None:
        """Count events, each with the task or the worker that it is about."""
        events: Counts[tuple[str, str, str]] = Counts()
        for event, entry in taken:
            group, _, kind = event["type"].partition("-")
            name = self._bounded(event["hostname"], str(getattr(entry, "name", None) or "")) if group == "task" else ""
            events[event["hostname"], event["type"], name] += 1
            if group == "task" and kind in self._tasks:
                self._count(event, entry, kind, name)
        for labels, count in events.items():
            self._child(self._events, *labels).inc(count)

    def _bounded(self, worker: str, name: str) -> str:
        if (worker, name) in self._known or len(self._known) < _PAIRS:
            self._known.add((worker, name))
            return name
        return "other"

    def _count(self, event: dict[str, Any], task: Any, kind: str, name: str) -> None:
        worker = event["hostname"]
        queue = getattr(task, "queue", None) or task.routing_key or ""
        labels = (name, worker, str(queue)[:200])
        if kind == "failed":
            exception = str(event.get("exception") or "").partition("(")[0][:100]
            self._child(self._tasks[kind], *labels, exception).inc()
        else:
            self._child(self._tasks[kind], *labels).inc()
        if event.get("runtime"):
            self._child(self._runtime, *labels).observe(event["runtime"])
            self._child(self._flower_runtime, worker, name).observe(event["runtime"])
        if task.eta or not task.received:
            return
        if kind == "received":
            self._child(self._prefetched, worker, name).inc()
        elif kind == "started" and task.started:
            self._child(self._prefetch, worker, name).set(task.started - task.received)
            self._child(self._prefetched, worker, name).dec()
        elif kind in ("succeeded", "failed") and task.started:
            self._child(self._prefetch, worker, name).set(0)
        elif kind in ("revoked", "rejected") and not task.started:
            self._child(self._prefetched, worker, name).dec()

    def page(self, gauges: "Iterable[Gauges]") -> bytes:
        """Everything as Prometheus' text, with these values as they are now."""
        from prometheus_client import CollectorRegistry, generate_latest

        now = CollectorRegistry()
        now.register(_Now(gauges))
        return generate_latest(self._registry) + generate_latest(now)


Gauges = tuple[str, str, str, dict[str, float]]
"""A gauge: name, help, the name of its label, and its values by the label's; ``""``: one value without a label."""


class _Now:
    """Gauges read when they are asked for."""

    def __init__(self, gauges: Iterable[Gauges]) -> None:
        self._gauges = gauges

    def collect(self) -> Iterator[Any]:
        from prometheus_client.core import GaugeMetricFamily

        for name, text, label, values in self._gauges:
            family = GaugeMetricFamily(name, text, labels=[label] if label else None)
            for labelled, value in values.items():
                family.add_metric([labelled] if label else [], value)
            yield family
