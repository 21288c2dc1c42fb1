"""Tasks that a client asks to stop, and that check whether they were asked (``celery.contrib.abortable``)."""

from typing import Any

from canvas.result import AsyncResult
from canvas.task.task import Task

ABORTED = "ABORTED"
"""The state of a task that was asked to stop."""


class AbortableAsyncResult(AsyncResult):
    """A result whose task can be asked to stop."""

    def is_aborted(self) -> bool:
        """Whether the task was asked to stop."""
        return bool(self.state == ABORTED)

    def abort(self) -> Any:
        """Ask the task to stop: its state becomes ABORTED, which the task reads."""
        return self.backend.store_result(self.id, None, ABORTED)


class AbortableTask(Task[Any]):
    """A task that can be asked to stop. Its code calls ``self.is_aborted()`` from time to time, and returns early."""

    abstract = True

    def AsyncResult(self, task_id: str, **kwargs: Any) -> AbortableAsyncResult:
        """The result of one call of this task."""
        return AbortableAsyncResult(task_id, app=self.app, **kwargs)

    def is_aborted(self, **kwargs: Any) -> bool:
        """Whether this call, or the call ``task_id``, was asked to stop."""
        return self.AsyncResult(kwargs.get("task_id", self.request.id)).is_aborted()
