"""``app.log``: the set-up of logging under Celery's names."""

import logging
import os
import sys
from typing import Any

from canvas.app.application import Canvas
from canvas.celery_names.utils import text
from canvas.celery_names.utils.logs import LoggingProxy, get_logger
from canvas.log import BASE_LOGGER, ColorFormatter, TaskFormatter, get_task_logger
from canvas.worker.logs.setup import WorkerLog, log_level


class Logging:
    """Sets up the log of a program as a worker's: handlers, formats and levels by the settings."""

    already_setup = False

    def __init__(self, app: Canvas) -> None:
        self.app = app
        self.loglevel = logging.WARNING
        self._open: WorkerLog | None = None

    @property
    def format(self) -> str:
        """The setting ``worker_log_format``."""
        found: str = self.app.conf.worker_log_format
        return found

    @property
    def task_format(self) -> str:
        """The setting ``worker_task_log_format``."""
        found: str = self.app.conf.worker_task_log_format
        return found

    def setup(
        self, loglevel: str | int | None = None, logfile: str | None = None, redirect_stdouts: bool = False,
        redirect_level: str | int = "WARNING", colorize: bool | None = None, hostname: str | None = None,
    ) -> bool:  # fmt: skip
        """Set up the root logger and the logger of tasks, once; False where it was done before.

        ``redirect_stdouts``: standard output and standard error become lines of the log. Raises ConfigurationError for
        an unknown level.
        """
        if self.already_setup:
            return False
        level = log_level("loglevel", loglevel if loglevel is not None else self.loglevel)
        self._open = WorkerLog(
            self.app.conf, hostname or "", logging.getLevelName(level), logfile, color=colorize,
            redirects=redirect_stdouts,
        )  # fmt: skip
        self._open.open()
        type(self).already_setup = True
        return True

    def setup_logging_subsystem(
        self, loglevel: str | int | None = None, logfile: str | None = None, format: str | None = None,
        colorize: bool | None = None, hostname: str | None = None, **options: Any,
    ) -> bool:  # fmt: skip
        """Like ``setup``; a ``format`` becomes the setting ``worker_log_format``."""
        if format is not None:
            self.app.conf.worker_log_format = format
        return self.setup(loglevel, logfile, colorize=colorize, hostname=hostname)

    def setup_task_loggers(
        self, loglevel: str | int | None = None, logfile: str | None = None, format: str | None = None,
        colorize: bool | None = None, propagate: bool = False, **options: Any,
    ) -> logging.Logger:  # fmt: skip
        """The logger of tasks, with a handler of its own and the format of the setting ``worker_task_log_format``."""
        level = log_level("loglevel", loglevel if loglevel is not None else self.loglevel)
        logger = logging.getLogger("celery.task")
        logger.setLevel(level)
        logger.propagate = propagate
        self.setup_handlers(logger, logfile, format or self.task_format, colorize, TaskFormatter)
        return logger

    def setup_handlers(
        self, logger: logging.Logger, logfile: str | None, format: str, colorize: bool | None,
        formatter: type[ColorFormatter] = ColorFormatter, **options: Any,
    ) -> logging.Logger:  # fmt: skip
        """Give a logger without handlers one that writes to ``logfile``, or to standard error."""
        if not logger.handlers:
            handler = self.get_handler(logfile)
            handler.setFormatter(formatter(format, use_color=self.supports_color(colorize, logfile)))
            logger.addHandler(handler)
        return logger

    @staticmethod
    def get_handler(logfile: Any = None) -> logging.Handler:
        """A handler for a path, a stream, or standard error."""
        if isinstance(logfile, str):
            return logging.FileHandler(os.path.expanduser(logfile), encoding="utf-8")
        return logging.StreamHandler(sys.__stderr__ if logfile is None else logfile)

    def supports_color(self, colorize: bool | None = None, logfile: Any = None) -> bool:
        """Whether lines are coloured: on a terminal, unless ``colorize`` says otherwise."""
        if colorize is not None:
            return colorize
        stream = sys.stderr
        return not logfile and stream is not None and stream.isatty()

    def colored(self, logfile: Any = None, enabled: bool | None = None) -> text.colored:
        """Colours for text, where ``supports_color`` allows them."""
        return text.colored(enabled=self.supports_color(enabled, logfile))

    def redirect_stdouts(self, loglevel: str | int | None = None, name: str = "celery.redirected") -> None:
        """Send printed text to the logger ``name`` from now on."""
        self.redirect_stdouts_to_logger(get_logger(name), loglevel)

    def redirect_stdouts_to_logger(
        self, logger: logging.Logger, loglevel: str | int | None = None, stdout: bool = True, stderr: bool = True
    ) -> LoggingProxy:
        """Send text that is printed to standard output and standard error to ``logger``. Returns the file that
        takes their place."""
        proxy = LoggingProxy(logger, loglevel)
        if stdout:
            sys.stdout = proxy
        if stderr:
            sys.stderr = proxy
        return proxy

    def get_default_logger(self, name: str = BASE_LOGGER, **options: Any) -> logging.Logger:
        return get_logger(name)

    @staticmethod
    def get_task_logger(name: str) -> logging.Logger:
        return get_task_logger(name)
