"""A node's own events: online, a heartbeat every few seconds, offline (protocol.md §7)."""

import os
import platform
import threading
from typing import Any

from canvas.app.application import Canvas
from canvas.errors import BrokerError
from canvas.remote.events import EventSource
from canvas.telemetry import emit
from canvas.version import __version__
from canvas.worker.pools.shared_memory import SharedMemory

HEARTBEAT_INTERVAL = 2.0
IDENTITY = {"sw_ident": "canvas", "sw_ver": __version__, "sw_sys": platform.system()}


class WorkerHeartbeat(threading.Thread):
    """Beats on a thread of its own until stopped."""

    def __init__(self, app: Canvas, hostname: str, board: SharedMemory, interval: float = HEARTBEAT_INTERVAL) -> None:
        """``interval``: seconds between heartbeats."""
        super().__init__(name="canvas-heart", daemon=True)
        self._board = board
        self._interval = interval
        self._source = EventSource(app, lambda: hostname, board.forward)
        self._ended = threading.Event()
        self._cut_off = False

    def run(self) -> None:
        """Tell that the node is here, and go on telling; an unreachable broker is tried again."""
        self._tell("worker-online")
        while not self._ended.wait(self._interval):
            self._tell("worker-heartbeat")
        self._tell("worker-offline")

    def beat(self) -> None:
        """One heartbeat more, on request."""
        self._tell("worker-heartbeat")

    def stop(self) -> None:
        """Say goodbye and end."""
        self._ended.set()
        if self.is_alive():
            self.join(timeout=2)

    def _tell(self, kind: str) -> None:
        board = self._board
        state: dict[str, Any] = {"freq": self._interval, "active": board.active, "processed": board.begun}
        event = self._source.event(kind, **state, loadavg=[round(load, 2) for load in os.getloadavg()], **IDENTITY)
        try:
            self._source.send(kind.replace("-", "."), event)
        except BrokerError as exc:
            self._cut_off = True
            emit("broker.unreachable", error=str(exc))
        else:
            if self._cut_off:
                self._cut_off = False
                emit("broker.recovered")
            emit("heartbeat.sent")
