"""The success of most tasks: no effect but a record in its usual form and an ack."""

from typing import Any

from canvas.app.application import Canvas
from canvas.config.config import Config
from canvas.errors import TimeLimitExceeded
from canvas.model.message import Message
from canvas.model.settlement import ResultWrite
from canvas.model.workflow_run import RUN_HEADER
from canvas.task.task import Task
from canvas.worker.pipeline.job import Job


def is_plain(conf: Config, done: Job) -> bool:
    """Whether the success of a job has no other effect than its record and its ack."""
    message, request, embed = done.message, done.request, done.message.embed
    return not (
        embed["callbacks"] is not None
        or embed["chain"] is not None
        or embed["chord"] is not None
        or request.children
        or request.additions
        or request.retries_sent
        or done.told
        or RUN_HEADER in message.headers
        or conf.result_extended
    )


def record_of(app: Canvas, message: Message, value: Any, children: list[Any] | None = None) -> ResultWrite:
    """The record of a success without extended fields. Raises CanvasError, TypeError and ValueError for a value that
    cannot be written."""
    group_id, parent_id = message.headers.get("group"), message.headers.get("parent_id")
    return app.backend.success_of(message.id, value, children or [], app.now_text(), group_id, parent_id)


def acks_failure(task: Task[Any] | None, exc: BaseException) -> bool:
    """Whether a failed task's message is acked."""
    if task is None:
        return True
    return bool(task.acks_on_timeout if isinstance(exc, TimeLimitExceeded) else task.acks_on_failure)
