"""``app.log``: the set-up of logging under Celery's names."""

import logging
import sys
from collections.abc import Callable
from typing import Any

from canvas.app.application import Canvas
from canvas.celery_names.utils import text
from canvas.celery_names.utils.logs import LoggingProxy, get_logger
from canvas.log import BASE_LOGGER, TASK_LOGGER, ColorFormatter, TaskFormatter, get_task_logger
from canvas.signals import setup_logging
from canvas.telemetry import emit
from canvas.worker.logs.lines import listen
from canvas.worker.logs.setup import empty_handlers, has_handler, log_handler, log_level
from canvas.worker.names import file_name


class Logging:
    """Sets up the log of a program as a worker's, by the settings. Workers and beat call ``setup`` of a subclass, which
    is the app's ``log_cls``, or of an object that is its ``log``; the other methods are the steps of it, in Celery's
    order."""

    already_setup = False

    def __init__(self, app: Canvas) -> None:
        conf = app.conf
        self.app = app
        self.loglevel = logging.WARNING
        self.format, self.datefmt = conf.worker_log_format, conf.worker_log_datefmt
        self.task_format, self.task_datefmt = conf.worker_task_log_format, conf.worker_task_log_datefmt
        self.colorize = conf.worker_log_color

    def setup(
        self, loglevel: str | int | None = None, logfile: str | None = None, redirect_stdouts: bool = False,
        redirect_level: str | int = "WARNING", colorize: bool | None = None, hostname: str | None = None,
    ) -> Any:  # fmt: skip
        """Set up the root logger and the logger of tasks, once.

        ``redirect_stdouts``: standard output and standard error become lines of the log. Returns the answers of the
        receivers of ``setup_logging``: where there are any, they have set it up instead. ``None``: it was done before.
        Raises ConfigurationError for an unknown level, and the exception of such a receiver.
        """
        handled = self.setup_logging_subsystem(loglevel, logfile, colorize=colorize, hostname=hostname)
        if not handled and redirect_stdouts:
            self.redirect_stdouts(redirect_level)
        logging.captureWarnings(True)
        listen(self.app.tasks)
        return handled

    def setup_logging_subsystem(
        self, loglevel: str | int | None = None, logfile: str | None = None, format: str | None = None,
        colorize: bool | None = None, hostname: str | None = None, datefmt: str | None = None, **kwargs: Any,
    ) -> Any:  # fmt: skip
        """``setup`` without the standard streams. ``logfile`` may have the patterns of a node's files. ``kwargs`` are
        passed on to ``setup_handlers``."""
        if self.already_setup:
            return None
        path = file_name(logfile, hostname) if logfile and hostname else logfile
        Logging.already_setup = True
        level = log_level("loglevel", loglevel or self.loglevel)
        shown, colours = format or self.format, self.supports_color(colorize, path)
        about = {"loglevel": level, "logfile": path, "format": shown, "colorize": colours}
        answers = setup_logging.send(None, **about)
        for _, answer in answers:
            if isinstance(answer, BaseException):
                Logging.already_setup = False
                raise answer
        if not answers:
            root = logging.getLogger()
            if self.app.conf.worker_hijack_root_logger:
                empty_handlers()
            self._configure_logger(
                root, path, level, shown, colours,
                datefmt=self.datefmt if datefmt is None else datefmt, **kwargs,
            )  # fmt: skip
            emit("logging.ready", logger=root, **about)
            self.setup_task_loggers(level, path, colorize=colorize)
        return answers

    def _configure_logger(
        self, logger: logging.Logger, logfile: str | None, loglevel: int, format: str, colorize: bool, **kwargs: Any
    ) -> None:
        """Give a logger its handlers and its level."""
        self.setup_handlers(logger, logfile, format, colorize, **kwargs)
        if loglevel:
            logger.setLevel(loglevel)

    def setup_task_loggers(
        self, loglevel: str | int | None = None, logfile: str | None = None, format: str | None = None,
        colorize: bool | None = None, propagate: bool = False, datefmt: str | None = None, **kwargs: Any,
    ) -> logging.Logger:  # fmt: skip
        """The logger of tasks, with a handler of its own and the format of the setting ``worker_task_log_format``."""
        level = log_level("loglevel", loglevel or self.loglevel)
        shown, colours = format or self.task_format, self.supports_color(colorize, logfile)
        logger = self.setup_handlers(
            logging.getLogger(TASK_LOGGER), logfile, shown, colours, formatter=TaskFormatter,
            datefmt=self.task_datefmt if datefmt is None else datefmt, **kwargs,
        )  # fmt: skip
        logger.setLevel(level)
        logger.propagate = bool(propagate)
        emit("logging.tasks_ready", logger=logger, loglevel=level, logfile=logfile, format=shown, colorize=colours)
        return logger

    def setup_handlers(
        self, logger: logging.Logger, logfile: str | None, format: str, colorize: bool | None,
        formatter: Callable[..., logging.Formatter] = ColorFormatter, datefmt: str | None = None, **kwargs: Any,
    ) -> logging.Logger:  # fmt: skip
        """Give a logger without handlers one that writes to ``logfile``, or to standard error. ``kwargs`` are for
        subclasses."""
        if not has_handler(logger):
            handler = self._detect_handler(logfile)
            handler.setFormatter(formatter(format, datefmt=datefmt, use_color=colorize))
            logger.addHandler(handler)
        return logger

    def _detect_handler(self, logfile: Any = None) -> logging.Handler:
        """A handler for a path, a stream, or standard error."""
        return log_handler(sys.__stderr__ if logfile is None else logfile)

    def supports_color(self, colorize: bool | None = None, logfile: Any = None) -> bool:
        """Whether lines are coloured: on a terminal, unless ``colorize`` or the setting ``worker_log_color`` is off."""
        wanted = self.colorize if colorize is None else colorize
        stream = sys.stderr
        return wanted is not False and logfile is None and stream is not None and stream.isatty()

    def colored(self, logfile: Any = None, enabled: bool | None = None) -> text.colored:
        """Colours for text, where ``supports_color`` allows them."""
        return text.colored(enabled=self.supports_color(enabled, logfile))

    def redirect_stdouts(self, loglevel: str | int | None = None, name: str = "celery.redirected") -> None:
        """Send printed text to the logger ``name`` from now on."""
        self.redirect_stdouts_to_logger(get_logger(name), loglevel=loglevel)

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

    def get_default_logger(self, name: str = BASE_LOGGER, **kwargs: Any) -> logging.Logger:
        """The logger ``name``, below ``celery``. ``kwargs`` are for subclasses."""
        return get_logger(name)

    @staticmethod
    def get_task_logger(name: str) -> logging.Logger:
        return get_task_logger(name)
