"""Metrics of beat for Prometheus."""

from canvas.telemetry import attach

_LAGS = (0.01, 0.05, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 300, 3600)


class BeatMetrics:
    """Ticks by what became of them, and how late they were sent. Needs prometheus_client
    (``canvas-workflows[prometheus]``)."""

    def __init__(self, hostname: str) -> None:
        """``hostname``: the label of all values."""
        from prometheus_client import CollectorRegistry, Counter, Histogram

        self._registry = registry = CollectorRegistry()
        label = ("hostname",)
        self._lag = Histogram(
            "canvas_beat_lag_seconds", "Seconds from the time of a tick to its sending.", label, buckets=_LAGS,
            registry=registry,
        ).labels(hostname)  # fmt: skip
        sent, missed, skipped = (
            Counter(f"canvas_beat_{name}", text, label, registry=registry).labels(hostname)
            for name, text in {
                "sent": "Ticks sent.",
                "missed": "Ticks left out because they came too late.",
                "skipped": "Ticks left out because the run before was not over.",
            }.items()
        )
        self._sent, self._left_out = sent, {"miss": missed, "skip": skipped}

    def listen(self) -> None:
        """Count from now on."""
        attach(self._on_sent, "beat.sent")
        attach(self._on_left_out, "beat.left_out")

    def _on_sent(self, lag: float | None, **_: object) -> None:
        self._sent.inc()
        if lag is not None:
            self._lag.observe(lag)

    def _on_left_out(self, action: str, **_: object) -> None:
        if action in self._left_out:
            self._left_out[action].inc()

    def page(self) -> bytes:
        """Everything as Prometheus' text."""
        from prometheus_client import generate_latest

        return generate_latest(self._registry)


def beat_metrics(hostname: str) -> BeatMetrics | None:
    """The metrics, which count from now on; ``None`` where prometheus_client is not installed."""
    try:
        metrics = BeatMetrics(hostname)
    except ImportError:
        return None
    metrics.listen()
    return metrics
