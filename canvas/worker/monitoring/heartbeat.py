"""A node's own events: online, a heartbeat every few seconds, offline (protocol.md §7)."""

import os
import platform
from typing import Any

from canvas.app.application import Canvas
from canvas.execution.background import BackgroundService, Repeated
from canvas.remote.events import EventSource
from canvas.telemetry import emit
from canvas.version import __version__
from canvas.worker.monitoring.shared_memory import SharedMemory

HEARTBEAT_INTERVAL = 2.0
IDENTITY = {"sw_ident": "canvas", "sw_ver": __version__, "sw_sys": platform.system()}


class WorkerHeartbeat:
    """Sends the events of one node from its start to its stop."""

    def __init__(self, app: Canvas, hostname: str, memory: SharedMemory, interval: float = HEARTBEAT_INTERVAL) -> None:
        """``interval``: seconds between heartbeats."""
        self._memory = memory
        self.interval = interval
        self._source = EventSource(app, lambda: hostname, memory.forward)
        self._kind = "worker-online"
        self._send_safely = Repeated("heartbeat", self._send, interval)
        self._service = BackgroundService("heartbeat", self._send_safely, last=self._leave)

    def start(self) -> None:
        """Send ``worker-online``, and heartbeats from then on; an unreachable broker is tried again."""
        self._service.start()

    def beat(self) -> None:
        """Send one heartbeat more, on request."""
        self._send_safely()

    def stop(self) -> None:
        """Send ``worker-offline`` and end."""
        self._service.stop(within=2.0)

    def _leave(self) -> None:
        self._kind = "worker-offline"
        self._send_safely()

    def _send(self) -> float:
        kind, memory = self._kind, self._memory
        if kind == "worker-online":
            self._kind = "worker-heartbeat"
        state: dict[str, Any] = {"freq": self.interval, "active": memory.active, "processed": memory.started}
        event = self._source.event(kind, **state, loadavg=[round(load, 2) for load in os.getloadavg()], **IDENTITY)
        self._source.send(kind.replace("-", "."), event)
        emit("heartbeat.sent", heart=self)
        return self.interval
