"""The lines that a worker writes at level DEBUG: the start of each task, and what its loop does between tasks."""

import logging
import os
from collections.abc import Callable
from typing import Any

from canvas.model.message import Message

_worker = logging.getLogger("celery.worker")
_request = logging.getLogger("celery.worker.request")


def _task_accepted(message: Message, **_: Any) -> None:
    name = message.headers.get("shadow") or message.task
    _request.debug("Task accepted: %s[%s] pid:%r", name, message.id, os.getpid())  # Celery's line


def _batch_settled(settled: int, leased: int, **_: Any) -> None:
    if settled or leased:
        _worker.debug("Messages settled: %d, leased: %d", settled, leased)


def _chord_dispatched(group_id: str, failed: bool, **_: Any) -> None:
    what = "is over: its body does not run" if failed else "is complete: its next step is sent"
    _worker.debug("Chord %s %s", group_id, what)


def _message_published(message: Message, **_: Any) -> None:
    _worker.debug("Sent %s[%s]", message.task, message.id)


DEBUG_LINES: list[tuple[str, Callable[..., None], logging.Logger, int]] = [
    ("task.started", _task_accepted, _request, logging.DEBUG),
    ("batch.settled", _batch_settled, _worker, logging.DEBUG),
    ("chord.dispatched", _chord_dispatched, _worker, logging.DEBUG),
    ("message.published", _message_published, _worker, logging.DEBUG),
]
