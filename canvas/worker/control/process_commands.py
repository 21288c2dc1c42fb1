"""The commands of a node, carried out by one of its processes."""

import threading
from typing import Any

from canvas.app.application import Canvas
from canvas.remote.revocation_entries import read_entry, stamp_entries
from canvas.telemetry import emit
from canvas.worker.consumer.loop import ConsumerLoop
from canvas.worker.consumer.maintenance import Maintenance
from canvas.worker.consumer.revoked import has_stamp
from canvas.worker.monitoring.event_dispatcher import TaskEvents
from canvas.worker.options import WorkerOptions, change
from canvas.worker.pipeline.pipeline import TaskPipeline
from canvas.worker.pools.child_commands import (
    AdoptOrphans,
    ChildCommand,
    ConsumeQueues,
    ReadRevoked,
    ReportState,
    SetRateLimit,
    SetTimeLimits,
    SwitchEvents,
    Terminate,
)


class ProcessCommands:
    """Carries out the commands of one process."""

    def __init__(
        self,
        app: Canvas,
        options: WorkerOptions,
        pipeline: TaskPipeline,
        loop: ConsumerLoop,
        events: TaskEvents,
        maintenance: Maintenance,
    ) -> None:
        self._app = app
        self._options = options
        self._pipeline = pipeline
        self._loop = loop
        self._events = events
        self._maintenance = maintenance

    def carry_out(self, command: ChildCommand) -> dict[str, Any]:
        """Carry out a command. Returns the answer as JSON."""
        change(self._app, self._options, command)
        match command:
            case ReportState():
                return self._pipeline.active_tasks.state(self._pipeline.decoder.decode)
            case ReadRevoked():
                self._pipeline.revocations.read()
            case AdoptOrphans():
                self._maintenance.adopt()
            case Terminate():
                return self._terminate(command)
            case SwitchEvents(on):
                if on:
                    self._events.enable()
                else:
                    self._events.disable()
            case ConsumeQueues(queues):
                self._loop.consume(queues)
            case SetTimeLimits() | SetRateLimit():  # done above
                pass
        return {}

    def _terminate(self, command: Terminate) -> dict[str, Any]:
        """End the tasks that a command names, as far as they run here."""
        stamps = {read_entry(entry) for entry in stamp_entries(command.headers or {})}
        ended = []
        for running in self._pipeline.active_tasks.running():
            message = running.message
            meant = message.id in command.ids or (bool(stamps) and has_stamp(message, stamps))
            if meant and running.terminate is not None:
                emit("task.terminated", message=message, signal=command.signal)
                running.end_signal = command.signum
                threading.Thread(target=running.terminate, daemon=True).start()
                ended.append(message.id)
        return {"terminated": ended}
