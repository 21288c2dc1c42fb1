"""Loggers for tasks: ``get_task_logger(__name__)``, whose lines say which task writes them."""

import json
import logging
from datetime import UTC, datetime

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

    def __init__(self, plain: str, of_tasks: str, date: str | None = None, task_date: str | None = None) -> None:
        super().__init__(plain, date)
        self._of_tasks = logging.Formatter(of_tasks, task_date)

    def format(self, record: logging.LogRecord) -> str:
        if hasattr(record, "task_id"):
            return self._of_tasks.format(record)
        return super().format(record)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (UTC, ISO 8601), level, logger, message, process; task name and id where a task
    writes; the traceback, and what was given as ``extra``."""

    def format(self, record: logging.LogRecord) -> str:
        found: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "process": record.processName,
            "pid": record.process,
        }
        if record.exc_info:
            found["traceback"] = self.formatException(record.exc_info)
        found.update({key: value for key, value in vars(record).items() if key not in _USUAL})
        return json.dumps(found, default=repr)


_USUAL = frozenset({*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"})
