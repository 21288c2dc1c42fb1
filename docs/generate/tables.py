"""The tables of metrics."""

from collections.abc import Iterable
from typing import Any
from unittest.mock import MagicMock

from prometheus_client import Counter, Histogram

from canvas.integrations.beat_metrics import BeatMetrics
from canvas.integrations.prometheus import Metrics
from docs.generate.markdown import code, table

HEADER = ("Metric", "Kind", "Labels", "Meaning")


def worker_metrics() -> str:
    """The metrics of a worker."""
    metrics = Metrics(MagicMock(), "", [], MagicMock())
    gauges = [(code(name), "gauge", code(label), text) for name, text, label, _ in metrics.now()]
    return table(HEADER, [*_rows(vars(metrics).values()), *gauges])


def beat_metrics() -> str:
    """The metrics of beat."""
    registry = BeatMetrics("")._registry
    return table(HEADER, _rows(dict.fromkeys(registry._names_to_collectors.values())))


def _rows(metrics: Iterable[Any]) -> list[tuple[str, ...]]:
    rows = []
    for metric in metrics:
        if isinstance(metric, Counter | Histogram):
            kind = "counter" if isinstance(metric, Counter) else "histogram"
            name = f"{metric._name}_total" if kind == "counter" else metric._name
            rows.append((code(name), kind, ", ".join(map(code, metric._labelnames)), metric._documentation))
    return rows
