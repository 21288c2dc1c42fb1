"""What a worker that stops still does, for its log: the tasks that run, and those that it returned to their queues."""

import time
from collections.abc import Callable
from typing import Any

from canvas.telemetry import emit
from canvas.worker.control.child_commands import ChildCommand, ReportState
from canvas.worker.pipeline.active_tasks import ActiveTasks


def report_running(ask: Callable[[ChildCommand], list[dict[str, Any]]], how: str, **_: Any) -> None:
    """At a warm stop: say which tasks of the node's processes the worker waits for. ``ask``: ``Pool.ask``."""
    if how != "warm":
        return
    now = time.time()
    running = [
        (f"{info['name']}[{info['id']}]", max(0.0, now - (info["time_start"] or now)))
        for state in ask(ReportState())
        for info in state["active"]
    ]
    if running:
        emit("worker.draining", running=running)


def report_returned(tally: ActiveTasks) -> Callable[[], None]:
    """At a cold stop: what a process held; call what this returns once the broker has it back."""
    running = tally.running()
    returned = [one for one in running if not one.early]
    waiting = max(0, len(tally.held) - len(returned))

    def report() -> None:
        if running or waiting:
            emit("worker.returned", running=_names(returned), waiting=waiting,
                 ended=_names(one for one in running if one.early))  # fmt: skip

    return report


def _names(found: Any) -> list[str]:
    return [f"{one.message.headers.get('shadow') or one.message.task}[{one.message.id}]" for one in found]
