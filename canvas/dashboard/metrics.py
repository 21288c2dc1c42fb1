"""The metrics of a dashboard: counted events, and the latest figures of the collector."""

from collections.abc import Sequence

from canvas.dashboard.collecting.collector import Collector
from canvas.integrations.dashboard_metrics import DashboardMetrics, Gauges


class Metrics:
    """Counts the collector's events, and writes the page of metrics."""

    def __init__(self, collector: Collector, buckets: Sequence[float] = ()) -> None:
        self._collector = collector
        self._counted = DashboardMetrics(buckets)
        collector.listeners.append(self._counted.take)

    def page(self) -> bytes:
        """The page in Prometheus' text."""
        return self._counted.page(self._gauges())

    def _gauges(self) -> list[Gauges]:
        collector = self._collector
        workers = [worker for worker in collector.cluster.workers_now() if worker.hostname]
        up = {str(worker.hostname): float(worker.alive) for worker in workers}
        active = {str(w.hostname): float(w.active or 0) for w in workers if w.alive}
        queues = collector.queues.states.values()
        consumers = {one.name: float(len(one.consumers)) for one in queues}
        return [
            ("celery_worker_up", "1 while the worker runs.", "hostname", up),
            ("celery_worker_tasks_active", "Running tasks.", "hostname", active),
            ("celery_queue_length", "Waiting messages.", "queue_name", {q.name: float(q.waiting) for q in queues}),
            ("celery_active_consumer_count", "Workers that consume the queue.", "queue_name", consumers),
            ("celery_active_worker_count", "Workers that consume the queue.", "queue_name", consumers),
            ("canvas_dead_letter_queue_length", "Dead letters.", "queue_name", {q.name: float(q.dead) for q in queues}),
            ("canvas_workflow_runs", "Runs of workflows by state.", "state",
             {state: float(count) for state, count in collector.runs.items()}),
            ("flower_worker_online", "Worker online status", "worker", up),
            ("flower_worker_number_of_currently_executing_tasks", "Number of tasks currently executing at a worker",
             "worker", active),
        ]  # fmt: skip
