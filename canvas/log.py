"""Loggers for tasks: ``get_task_logger(__name__)``, whose lines say which task writes them."""

import logging

from canvas.model.current import current_request

TASK_LOGGER = "canvas.task"


class _OfTask(logging.Filter):
    """Gives every record ``task_name`` and ``task_id``; ``???`` outside tasks, as in Celery."""

    def filter(self, record: logging.LogRecord) -> bool:
        request = current_request()
        record.task_name = request.task if request is not None else "???"
        record.task_id = request.id if request is not None else "???"
        return True


def get_task_logger(name: str) -> logging.Logger:
    """The logger ``name``, below ``canvas.task``; its records carry ``task_name`` and ``task_id``."""
    logger = logging.getLogger(name)
    if logger.parent is logging.root:
        logger.parent = logging.getLogger(TASK_LOGGER)
    if not any(isinstance(known, _OfTask) for known in logger.filters):
        logger.addFilter(_OfTask())
    return logger


class WorkerFormatter(logging.Formatter):
    """A worker's log lines; those of tasks name their task."""

    def __init__(self, plain: str, of_tasks: str) -> None:
        super().__init__(plain)
        self._of_tasks = logging.Formatter(of_tasks)

    def format(self, record: logging.LogRecord) -> str:
        if hasattr(record, "task_id"):
            return self._of_tasks.format(record)
        return super().format(record)
