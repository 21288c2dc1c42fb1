"""Telemetry of one process → task events, sent some together (protocol.md §7)."""

import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from canvas.app.application import Canvas
from canvas.errors import BrokerError, NotRegistered, Reject
from canvas.execution.background import NEVER, BackgroundService, Repeated
from canvas.model.message import Message
from canvas.model.outcome import Failure, Outcome, Rejected, Retried, Revoked, Success
from canvas.remote.events import TASKS_TOGETHER, Event, EventSource, described
from canvas.telemetry import attach
from canvas.text import safe_repr, short_repr
from canvas.worker.monitoring.shared_memory import SharedMemory

_TOGETHER = 24
_GATHER = 0.02
_MOST_WAITING = 10_000


class TaskEvents:
    """Turned on and off at any time; what cannot be sent is dropped, oldest first, and never holds a task up."""

    def __init__(self, app: Canvas, hostname: str, memory: SharedMemory) -> None:
        self._source = EventSource(app, lambda: hostname, memory.forward)
        self._waiting: deque[Event] = deque(maxlen=_MOST_WAITING)
        self._service = BackgroundService("events", Repeated("events", self._send_waiting), last=self._send_rest)
        self._detach: list[Callable[[], None]] = []

    @property
    def on(self) -> bool:
        return bool(self._detach)

    def enable(self) -> None:
        """Listen from now on."""
        if self.on:
            return
        self._detach = [
            attach(self._received, "task.received"),
            attach(self._started, "task.started"),
            attach(self._finished, "task.finished"),
            attach(self._unknown, "task.unregistered"),
        ]
        self._service.start()

    def disable(self) -> None:
        """Listen no more; waiting events are still sent."""
        for detach in self._detach:
            detach()
        self._detach = []

    def close(self) -> None:
        """Listen no more, and send the waiting events."""
        self.disable()
        self._service.stop(within=2.0)

    def _received(self, message: Message, task: Any, **_: Any) -> None:
        self._add(task, "task-received", message, **described(message))

    def _started(self, message: Message, task: Any, **_: Any) -> None:
        self._add(task, "task-started", message)

    def _finished(self, message: Message, task: Any, outcome: Outcome, runtime: float, **_: Any) -> None:
        match outcome:
            case Success(value):
                shown = short_repr(value, task.resultrepr_maxsize)
                self._add(task, "task-succeeded", message, result=shown, runtime=runtime)
            case Failure(exc, text):
                self._add(task, "task-failed", message, exception=short_repr(exc), traceback=text)
            case Retried(retry, text):
                self._add(task, "task-retried", message, exception=short_repr(retry), traceback=text)
            case Rejected(reason, requeue):
                if not requeue:
                    self._add(task, "task-failed", message, exception=safe_repr(Reject(reason, False)), traceback=None)
                self._add(task, "task-rejected", message, requeue=requeue)
            case Revoked(reason, signum):
                ended = {"terminated": reason == "terminated", "expired": reason == "expired"}
                self._add(task, "task-revoked", message, signum=signum, **ended)

    def _unknown(self, message: Message, action: str, **_: Any) -> None:
        if action == "dead_letter":
            self._add(None, "task-failed", message, exception=repr(NotRegistered(message.task)))

    def _add(self, task: Any, kind: str, message: Message, **fields: Any) -> None:
        if task is None or task.send_events:
            self._waiting.append(self._source.event(kind, uuid=message.id, **fields))
            self._service.wake()

    def _send_waiting(self) -> float:
        if self._waiting and not self._service.stopped:
            time.sleep(_GATHER)  # one message carries all events of these milliseconds
        while self._waiting:
            self._send_some()
        return NEVER

    def _send_rest(self) -> None:
        with suppress(BrokerError):  # events that cannot be sent are dropped
            while self._waiting:
                self._send_some()

    def _send_some(self) -> None:
        together = [self._waiting.popleft() for _ in range(min(_TOGETHER, len(self._waiting)))]
        self._source.send(TASKS_TOGETHER, together)
