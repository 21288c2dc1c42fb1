"""Answers of a running ``canvas beat``: to HTTP probes, and to remote control."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from canvas.app.application import Canvas
from canvas.beat.running import BeatService
from canvas.integrations.beat_metrics import beat_metrics
from canvas.worker.control.pidbox import Pidbox
from canvas.worker.control.replies import NO_REPLY
from canvas.worker.monitoring.health_server import Endpoint
from canvas.worker.monitoring.shared_memory import SharedMemory

_LISTENING_WITHIN = 5.0


class _BeatPanel:
    """The commands that beat knows; others are meant for workers, and get no reply."""

    def __init__(self, clock: SharedMemory) -> None:
        self._clock = clock

    def call(self, command: str, arguments: dict[str, Any]) -> Any:
        match command:
            case "ping":
                return {"ok": "pong"}
            case "clock":
                return {"clock": self._clock.time}
        return NO_REPLY


@contextmanager
def monitored(
    app: Canvas, service: BeatService, hostname: str, http_address: tuple[str, int] | None, remote_control: bool
) -> Iterator[None]:
    """Serve health and metrics of ``service`` until the end of the block.

    Raises ConfigurationError for an address that is in use.
    """
    endpoint = Endpoint(app, http_address, service.trouble) if http_address else None
    clock = SharedMemory()
    pidbox = Pidbox(app, hostname, _BeatPanel(clock), clock) if remote_control else None
    if endpoint is not None:
        endpoint.ready(beat_metrics(hostname))
        endpoint.start()
    if pidbox is not None:
        pidbox.start()
        pidbox.wait_until_listening(_LISTENING_WITHIN)
    try:
        yield
    finally:
        if pidbox is not None:
            pidbox.stop()
        if endpoint is not None:
            endpoint.stop()
