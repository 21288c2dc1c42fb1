"""The state of a child that does not answer, as its parent finds it in shared memory and at the broker."""

from typing import Any

from canvas.app.application import Canvas
from canvas.drivers.ports.recovery import Recovery
from canvas.model.message import Delivery
from canvas.worker.monitoring.shared_memory import ProcessStats
from canvas.worker.pipeline.active_tasks import opened, opener, task_info


def running_tag(recovery: Recovery, worker: str, row: ProcessStats) -> str | None:
    """The lease of the message that a child runs; ``None`` when it runs none."""
    return recovery.lease_tag(worker, row.running) if row.active else None


def state_of_silent(app: Canvas, hostname: str, pid: int, worker: str, row: ProcessStats) -> dict[str, Any]:
    """Like ``ActiveTasks.state``, with no totals. Raises BrokerError."""
    recovery = app.driver.recovery
    tag, held = running_tag(recovery, worker, row), recovery.leases(worker)
    running = [delivery for delivery in held if delivery.tag == tag]
    acknowledged = not running
    payload = recovery.leased_message(tag) if tag is not None and acknowledged else None
    if tag is not None and payload is not None:
        running = [Delivery(tag, "", payload)]

    waiting = [delivery for delivery in held if delivery.tag != tag]
    return {
        "pid": pid,
        "active": [task_info(one, hostname, row.since, acknowledged, pid) for one in opened(running, opener(app))],
        "reserved": [task_info(one, hostname) for one in opened(waiting, opener(app))],
        "total": {},
    }
