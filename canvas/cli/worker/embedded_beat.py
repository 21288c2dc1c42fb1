"""``canvas worker -B``: beat in the process of the node."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from canvas.app.application import Canvas
from canvas.integrations.beat_metrics import beat_metrics
from canvas.telemetry import attach


@contextmanager
def embedded_beat(
    app: Canvas, schedule_filename: str | None, scheduler: str | None = None, metrics_of: str | None = None
) -> Iterator[None]:
    """Run beat from the moment when the worker is ready until the block has ended.

    ``metrics_of``: the node that has metrics of beat; none without it.
    """
    from canvas.beat.running import start_thread
    from canvas.beat.sources import service_of

    service = service_of(app, scheduler or app.conf.beat_scheduler, filename=schedule_filename)
    if metrics_of is not None:
        beat_metrics(metrics_of)
    ends: list[Callable[[], None]] = []

    def start(**_: object) -> None:
        ends.append(start_thread(service))

    detach = attach(start, "worker.ready")
    try:
        yield
    finally:
        detach()
        for end in ends:
            end()
