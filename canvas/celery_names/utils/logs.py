"""Names of ``celery.utils.log``: loggers and levels."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from canvas.log import BASE_LOGGER, TASK_LOGGER, ancestry

LOG_LEVELS: dict[str | int, str | int] = {
    **{name: getattr(logging, name) for name in ("DEBUG", "INFO", "WARNING", "WARN", "ERROR", "CRITICAL", "NOTSET")},
    "FATAL": logging.FATAL,
}
LOG_LEVELS |= {number: name for name, number in LOG_LEVELS.items() if name not in ("WARN", "FATAL")}
"""Numbers of levels by name, and names by number."""

base_logger = logging.getLogger(BASE_LOGGER)
task_logger = logging.getLogger(TASK_LOGGER)


def get_logger(name: str) -> logging.Logger:
    """The logger ``name``. Where its parent is another logger than the root, ``celery`` becomes its parent."""
    logger = logging.getLogger(name)
    if logging.root not in (logger, logger.parent) and base_logger not in ancestry(logger):
        logger.parent = base_logger
    return logger


def mlevel(level: str | int | None) -> int | str | None:
    """A level by name as its number; numbers stay. Raises KeyError for an unknown name."""
    if level and not isinstance(level, int):
        return LOG_LEVELS[level.upper()]
    return level


_in_handler = [False]


def set_in_sighandler(value: bool) -> None:
    """Note that a signal handler runs, or has ended."""
    _in_handler[0] = value


@contextmanager
def in_sighandler() -> Iterator[None]:
    """The block is the code of a signal handler."""
    set_in_sighandler(True)
    try:
        yield
    finally:
        set_in_sighandler(False)


def get_multiprocessing_logger() -> logging.Logger:
    """The logger of ``multiprocessing``."""
    return logging.getLogger("multiprocessing")


def reset_multiprocessing_logger() -> None:
    """Nothing: canvas' processes set up no logger of multiprocessing's."""
