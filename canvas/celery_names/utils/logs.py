"""Names of ``celery.utils.log``: loggers and levels."""

import logging
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from canvas.log import BASE_LOGGER, TASK_LOGGER, ancestry

LOG_LEVELS: dict[str | int, str | int] = {
    **{name: getattr(logging, name) for name in ("DEBUG", "INFO", "WARNING", "WARN", "ERROR", "CRITICAL", "NOTSET")},
    "FATAL": logging.FATAL,
}
LOG_LEVELS |= {number: name for name, number in LOG_LEVELS.items() if name not in ("WARN", "FATAL")}
"""Numbers of levels by name, and names by number."""

base_logger = logging.getLogger(BASE_LOGGER)
logger = base_logger
task_logger = logging.getLogger(TASK_LOGGER)
worker_logger = logging.getLogger("celery.worker")


def get_logger(name: str) -> logging.Logger:
    """The logger ``name``. Where its parent is not the root, and ``celery`` is not above it, ``celery`` becomes its
    parent."""
    found = logging.getLogger(name)
    if logging.root not in (found, found.parent) and base_logger not in ancestry(found):
        found.parent = base_logger
    return found


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


class LoggingProxy:
    """A file whose lines are logged. A line that is written while one is logged is left out."""

    mode, name, closed = "w", None, False
    loglevel: Any = logging.ERROR
    _thread = threading.local()

    def __init__(self, logger: logging.Logger, loglevel: str | int | None = None) -> None:
        """``loglevel``: default: the logger's level."""
        self.logger = logger
        self.loglevel = mlevel(loglevel or logger.level or self.loglevel)

    def write(self, data: str | bytes) -> int:
        """Log text. Returns the number of its characters."""
        text = (data.decode(errors="replace") if isinstance(data, bytes) else str(data)).rstrip("\n")
        if _in_handler[0] and sys.__stderr__ is not None:
            return sys.__stderr__.write(f"{text}\n")
        if not text or self.closed or getattr(self._thread, "writing", False):
            return 0
        self._thread.writing = True
        try:
            self.logger.log(self.loglevel, text)
        finally:
            self._thread.writing = False
        return len(text)

    def writelines(self, sequence: Iterable[str]) -> None:
        for part in sequence:
            self.write(part)

    def flush(self) -> None:
        """Nothing: each line is logged at once."""

    def close(self) -> None:
        """Stop logging."""
        self.closed = True

    def isatty(self) -> bool:
        return False
