"""Loggers for tasks, and the formats of a worker's log lines.

The loggers have Celery's names, so that a logging configuration written for Celery applies: ``celery.worker``,
``celery.app.trace`` and so on below ``celery``, and ``celery.task`` above the loggers of tasks.
"""

import logging
from collections.abc import Callable, Iterator, Mapping

from canvas.context import current_request

BASE_LOGGER = "celery"
TASK_LOGGER = "celery.task"
REDIRECTED_LOGGER = "celery.redirected"
_RESERVED = frozenset({BASE_LOGGER, TASK_LOGGER, "canvas", "canvas.task"})
_OUTSIDE = "???"


class _OfTask(logging.Filter):
    """Gives every record ``task_name`` and ``task_id``; ``???`` outside tasks, as in Celery."""

    def filter(self, record: logging.LogRecord) -> bool:
        name_task(record)
        return True


def name_task(record: logging.LogRecord) -> None:
    """Set ``task_name`` and ``task_id`` of a record that does not have them."""
    if not hasattr(record, "task_id"):
        request = current_request()
        record.task_name = request.task if request is not None else _OUTSIDE
        record.task_id = request.id if request is not None else _OUTSIDE


def get_task_logger(name: str) -> logging.Logger:
    """The logger ``name``, below ``celery.task``; its records carry ``task_name`` and ``task_id``.

    Raises RuntimeError where ``name`` is that logger's own, or an ancestor's.
    """
    logger, tasks = logging.getLogger(name), logging.getLogger(TASK_LOGGER)
    if name in _RESERVED or logger in ancestry(tasks):
        raise RuntimeError(f"Logger name {name!r} is reserved! Use the module's: get_task_logger(__name__)")
    if tasks not in ancestry(logger):
        logger.parent = tasks
    if not any(isinstance(known, _OfTask) for known in logger.filters):
        logger.addFilter(_OfTask())
    return logger


def ancestry(logger: logging.Logger) -> Iterator[logging.Logger]:
    """A logger, its parent and so on up to the root."""
    found: logging.Logger | None = logger
    while found is not None:
        yield found
        found = found.parent


def _colouring(code: int) -> Callable[[str], str]:
    return lambda text: f"\033[1;{code}m{text}\033[0m"


class ColorFormatter(logging.Formatter):
    """logging's own formatter; with ``use_color`` the line has the colour of its level."""

    COLORS: Mapping[str, Callable[[str], object]] = {
        name: _colouring(30 + number)
        for number, name in enumerate(("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"))
    }
    """By name, a function that colours text."""
    colors: Mapping[str, Callable[[str], object]] = {
        "DEBUG": COLORS["blue"], "WARNING": COLORS["yellow"], "ERROR": COLORS["red"], "CRITICAL": COLORS["magenta"],
    }  # fmt: skip
    """By name of a level, the function that colours its lines; a subclass may have others."""

    def __init__(self, fmt: str | None = None, use_color: bool = True, datefmt: str | None = None) -> None:
        super().__init__(fmt, datefmt)
        self.use_color = use_color

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        colour = self.colors.get(record.levelname) if self.use_color else None
        return text if colour is None else str(colour(text))


class TaskFormatter(ColorFormatter):
    """Lines that tasks write: a format may name ``%(task_name)s`` and ``%(task_id)s``."""

    def format(self, record: logging.LogRecord) -> str:
        name_task(record)
        return super().format(record)
