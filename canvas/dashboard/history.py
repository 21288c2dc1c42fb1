"""History beyond memory: ended tasks and the figures of the past hour, in a database."""

import json
import logging
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from canvas.dashboard.collecting.collector import Collector, Taken
from canvas.dashboard.collecting.series import SLOTS, STEP, Slot
from canvas.errors import CanvasError
from canvas.remote.cluster_entries import Task

if TYPE_CHECKING:
    from canvas.drivers.sql.history import SQLHistory

logger = logging.getLogger(__name__)

_MOST_WAITING = 50_000
"""Ended tasks that wait to be written; beyond that the oldest are left out, and counted."""
_TOGETHER = 1_000
_CLEAN_EVERY = 60.0
_KEPT = (
    "name", "state", "received", "sent", "started", "succeeded", "failed", "retried", "revoked", "rejected", "args",
    "kwargs", "eta", "expires", "retries", "result", "exception", "timestamp", "runtime", "traceback", "exchange",
    "routing_key", "queue", "client", "root_id", "parent_id",
)  # fmt: skip


class History:
    """Writes ended tasks and figures behind the collector, and reads them back at the start."""

    def __init__(
        self, store: "SQLHistory", collector: Collector, age: float, most: int, size: int | None = None
    ) -> None:
        """``age``: seconds that history is kept; ``most``: tasks that are kept; ``size``: bytes that they may take."""
        self._store = store
        self._collector = collector
        self._age, self._most, self._size = age, most, size
        self._waiting: deque[tuple[str, str | None, str, str | None, float, str]] = deque(maxlen=_MOST_WAITING)
        self._written = 0
        self._cleaned = 0.0
        self._opened = threading.Event()
        self.left_out = 0
        """Ended tasks that were not written, because the database was too slow, or unreachable for too long."""

    def attach(self) -> None:
        """Register with the collector, which then passes on events and calls for writes."""
        self._collector.listeners.append(self._take)
        self._collector.history = self.as_dict
        self._collector.duties.append(("history", 2.0, self._write))

    def _take(self, taken: Taken) -> None:
        for entry in dict.fromkeys(entry for _, entry in taken):
            if isinstance(entry, Task) and entry.ready and entry.uuid is not None:
                if len(self._waiting) == _MOST_WAITING:
                    self.left_out += 1
                worker = entry.worker.hostname if entry.worker is not None else None
                fields = {name: getattr(entry, name, None) for name in _KEPT}
                known = {name: value for name, value in fields.items() if value is not None}
                text = json.dumps({**known, "worker": worker})
                name = known.get("name")
                self._waiting.append((entry.uuid, name, entry.state, worker, entry.timestamp or 0.0, text))

    def _write(self) -> None:
        """Write the tasks and slots that have ended since the last call. Raises the errors of the database."""
        if not self._opened.is_set():
            self._open()
        try:
            self._write_waiting()
        finally:
            # A disk that is full for tasks may get space again by the deletion of old ones.
            if time.monotonic() - self._cleaned > _CLEAN_EVERY:
                self._cleaned = time.monotonic()
                self._store.clean(time.time() - self._age, self._most, self._size)

    def _write_waiting(self) -> None:
        while self._waiting:
            together = [self._waiting.popleft() for _ in range(min(_TOGETHER, len(self._waiting)))]
            try:
                self._store.add_tasks(together)
            except Exception:
                self._waiting.extendleft(reversed(together))
                raise
        ended = self._collector.series.ended(self._written)
        self._store.add_slots([(slot.number, json.dumps(slot.as_dict())) for slot in ended])
        self._written = max((slot.number for slot in ended), default=self._written)

    def _open(self) -> None:
        self._store.open()
        now = int(time.time() // STEP)
        slots = [Slot.of(number, json.loads(kept)) for number, kept in self._store.slots(now - SLOTS)]
        self._collector.series.restore(slots)
        self._written = max((slot.number for slot in slots), default=0)
        self._opened.set()

    def as_dict(self) -> dict[str, int]:
        """How many ended tasks wait to be written, and how many were left out."""
        return {"waiting": len(self._waiting), "left_out": self.left_out}

    def tasks(self, limit: int, states: list[str], **query: Any) -> list[dict[str, Any]]:
        """Tasks as lists show them, the latest first."""
        if not self._opened.is_set():
            return []
        found = self._store.tasks({**query, "states": states or None, "text": query["text"] or None}, limit)
        return [{"id": task_id, **json.loads(kept)} for task_id, kept in found]

    def task(self, task_id: str) -> dict[str, Any] | None:
        """A task, if history has it."""
        kept = self._store.task(task_id) if self._opened.is_set() else None
        return None if kept is None else {"id": task_id, **json.loads(kept)}

    def close(self) -> None:
        """Write the tasks and slots that have ended, and close the database."""
        try:
            self._write()
        except CanvasError as exc:
            logger.error("dashboard: %d tasks were not written to the history: %s", len(self._waiting), exc)
        self._store.close()
