"""The names of `celery.app.task`."""

from canvas.model.request import Request as Context
from canvas.task.task import Task

__all__ = ["Context", "Task"]
