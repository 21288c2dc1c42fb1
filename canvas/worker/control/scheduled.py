"""The tasks that are due later, as remote control shows them (protocol.md §6)."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from canvas.app.application import Canvas
from canvas.model.message import Delivery
from canvas.worker.pipeline.active_tasks import opened, opener, task_info

_MOST = 1000
_PRIORITY = 6
"""The priority of every entry of Celery's timer."""


def scheduled(app: Canvas, hostname: str, queues: Collection[str]) -> list[dict[str, Any]]:
    """``{eta, priority, request}`` of each delayed message of these queues, the first due first: of the 1,000 messages
    that are due first in the broker. ``eta`` is in the app's time zone. Raises BrokerError."""
    found = []
    for entry in app.driver.admin.scheduled(_MOST):
        if entry.queue not in queues:
            continue
        for message in opened([Delivery("", entry.queue, entry.payload)], opener(app)):
            eta = datetime.fromtimestamp(entry.due, app.timezone).isoformat()
            found.append({"eta": eta, "priority": _PRIORITY, "request": task_info(message, hostname)})
    return found
