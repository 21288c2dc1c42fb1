"""The tables of metrics, and of the names that other workflow engines have."""

from collections.abc import Iterable
from typing import Any
from unittest.mock import MagicMock

from prometheus_client import Counter, Histogram

from canvas.integrations.beat_metrics import BeatMetrics
from canvas.integrations.prometheus import Metrics
from canvas.workflows.compose.other_names import ROWS
from docs.generate.markdown import code, table

_CALLS = {"Workflow": "flow.{}()", "Run": "run.{}()", "runs": "app.runs({}=…)", "start": "flow.apply_async({}=…)"}
"""How a call with a name is written, by the place of the name; at other places it is an argument."""
_METHODS_OF_RUNS = ("resume", "signal")
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


def other_names() -> str:
    """The names that other workflow engines have, and what canvas has."""
    rows = []
    for row in ROWS:
        call = f"{'run' if row.place in _METHODS_OF_RUNS else 'flow'}.{row.place}({{}}=…)"
        rows.append((code(_CALLS.get(row.place, call).format(row.name)), code(row.instead), code(row.example)))
    return table(("Name elsewhere", "Name in canvas", "Example"), rows)


def _rows(metrics: Iterable[Any]) -> list[tuple[str, ...]]:
    rows = []
    for metric in metrics:
        if isinstance(metric, Counter | Histogram):
            kind = "counter" if isinstance(metric, Counter) else "histogram"
            name = f"{metric._name}_total" if kind == "counter" else metric._name
            rows.append((code(name), kind, ", ".join(map(code, metric._labelnames)), metric._documentation))
    return rows
