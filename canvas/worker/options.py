"""The options of a node, and how remote control changes them."""

import os
from dataclasses import dataclass
from uuid import uuid4

from canvas.app.application import Canvas
from canvas.worker.control.child_commands import ChildCommand, ConsumeQueues, SetRateLimit, SetTimeLimits


@dataclass(slots=True)
class WorkerOptions:
    """The options of a node: decided once, from settings and command line."""

    hostname: str
    queues: list[str]
    concurrency: int
    pool: str
    prefetch_limit: int
    """Messages a process may hold beyond what its slots run."""
    remote_control: bool
    max_tasks_per_child: int | None
    max_memory_per_child: int | None
    """KiB."""
    autoscale: tuple[int, int] | None
    """The most and the fewest places."""
    events: bool
    """Task events are sent, now."""
    events_always: bool
    """They are sent whatever remote control says (``-E``)."""
    heartbeat: float | None
    """Seconds between heartbeat events; ``None``: none."""


def new_worker_id(hostname: str) -> str:
    """A worker id that no other process has or had."""
    return f"{hostname}.{os.getpid()}.{uuid4().hex[:8]}"


def change(app: Canvas, plan: WorkerOptions, command: ChildCommand) -> None:
    """Apply a change of remote control to the app and to the options of a process, for later forks too."""
    match command:
        case SetTimeLimits(name, soft, hard):
            task = app.tasks[name]
            task.soft_time_limit, task.time_limit = soft, hard
        case SetRateLimit(name, rate):
            app.tasks[name].rate_limit = rate
        case ConsumeQueues(queues):
            plan.queues[:] = queues
