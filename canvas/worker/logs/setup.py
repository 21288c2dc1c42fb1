"""Where the log lines of a worker go, set up as Celery does it: root logger, task logger, standard streams."""

import logging
import sys
import traceback
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import partial
from logging.handlers import WatchedFileHandler
from typing import Any, Protocol, TextIO

from canvas.app.application import Canvas
from canvas.config.config import Config
from canvas.errors import ConfigurationError
from canvas.log import BASE_LOGGER, REDIRECTED_LOGGER, TASK_LOGGER, ColorFormatter, TaskFormatter
from canvas.telemetry import attach, emit, listening
from canvas.text import safe_repr
from canvas.worker.logs.json_format import JsonFormatter
from canvas.worker.logs.lines import listen
from canvas.worker.logs.redirect import Redirected, redirect, show_lines_at_once
from canvas.worker.names import file_name, names_each_process


class OwnLog(Protocol):
    """The log of an app with a class of its own: ``canvas.celery_names.parts.logging_setup.Logging`` is its base."""

    already_setup: bool

    def setup(
        self, loglevel: int, logfile: str | None, *, redirect_stdouts: bool, colorize: bool | None, hostname: str
    ) -> Any: ...

    def redirect_stdouts(self, loglevel: str | int) -> None: ...


class WorkerLog:
    """The log of a node; ``open`` before it starts, ``close`` after it."""

    def __init__(
        self, conf: Config, hostname: str, level: str = "WARNING", logfile: str | None = None, json: bool = False,
        color: bool | None = None, tasks: Collection[str] = (), own: OwnLog | None = None,
    ) -> None:  # fmt: skip
        """``logfile`` may have the patterns of ``file_name``; without one the log goes to standard error.

        ``json``: JSON instead of the formats in the settings. ``color=False``: no colours on a terminal either.
        ``tasks``: the names that the worker knows, for lines about unknown ones. ``own``: the app's log, whose
        ``setup`` is called. Raises ConfigurationError for an unknown level, and for ``json`` of an app with such a log.
        """
        if own is not None and json:
            raise ConfigurationError(f"--log-json: the app's own log, {type(own).__name__}, decides how lines look")
        self._conf = conf
        self._hostname = hostname
        self._level = log_level("loglevel", level)
        self._pattern = logfile
        self._path = file_name(logfile, hostname) if logfile else None
        self._json = json
        self._tasks = tasks
        self._own, self._color = own, color
        self._stream = None if isinstance(sys.stderr, Redirected) else sys.stderr
        self._colorize = color is not False and conf.worker_log_color is not False and self._on_terminal()
        self._handlers: list[tuple[logging.Logger, logging.Handler]] = []
        self._undo: list[Callable[[], None]] = []

    def open(self) -> None:
        """Set logging up. Raises ConfigurationError, and whatever a ``setup_logging`` receiver raises."""
        # The worker's loggers are below "celery"; people configure "canvas" too.
        logging.getLogger(BASE_LOGGER).parent = logging.getLogger("canvas")
        redirect_level = log_level("worker_redirect_stdouts_level", self._conf.worker_redirect_stdouts_level)
        if self._own is not None:
            self._undo.append(partial(_put_back, sys.stdout, sys.stderr))
        taken_over = self._configure()
        logging.captureWarnings(True)
        listen(self._tasks)
        self._undo.append(attach(self._in_child, "worker.forked"))
        if self._conf.worker_redirect_stdouts and not taken_over:
            self._undo.append(redirect(redirect_level))
        else:
            show_lines_at_once()

    def close(self) -> None:
        """Give standard output and standard error back."""
        while self._undo:
            self._undo.pop()()

    def _in_child(self, index: int, **_: object) -> None:
        """In a process of the pool, the ``index``-th from 1: open its own file, where it has one."""
        if self._pattern is None or not names_each_process(self._pattern):
            return
        if self._own is not None:
            self._own.already_setup = False
        for logger, handler in self._handlers:
            logger.removeHandler(handler)
            handler.close()
        self._handlers.clear()
        self._path = file_name(self._pattern, self._hostname, index)
        self._configure()

    def _configure(self) -> bool:
        """Give root and task logger their handlers. Returns whether the app's own log has done it, or ``setup_logging``
        receivers."""
        if self._own is not None:
            taken_over = self._own.setup(
                self._level, self._path, redirect_stdouts=False, colorize=self._color, hostname=self._hostname
            )
            if self._conf.worker_redirect_stdouts and not taken_over:
                self._own.redirect_stdouts(self._conf.worker_redirect_stdouts_level)
            return True
        if listening("logging.setup") and self._taken_over():
            return True
        root, tasks = logging.getLogger(), logging.getLogger(TASK_LOGGER)
        if self._conf.worker_hijack_root_logger:
            empty_handlers()
        self._add_handler(root, "worker_log_format", ColorFormatter, self._conf.worker_log_datefmt)
        root.setLevel(self._level)
        emit("logging.ready", logger=root, format=self._conf.worker_log_format, **self._facts())
        self._add_handler(tasks, "worker_task_log_format", TaskFormatter, self._conf.worker_task_log_datefmt)
        tasks.setLevel(self._level)
        tasks.propagate = False
        emit("logging.tasks_ready", logger=tasks, format=self._conf.worker_task_log_format, **self._facts())
        return False

    def _taken_over(self) -> bool:
        # Imported late: most programs connect to no signal.
        from canvas.signals import setup_logging

        answers = setup_logging.send(None, format=self._conf.worker_log_format, **self._facts())
        for _, answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        return bool(answers)

    def _facts(self) -> dict[str, object]:
        return {"loglevel": self._level, "logfile": self._path, "colorize": self._colorize}

    def _add_handler(
        self, logger: logging.Logger, setting: str, formatter: type[ColorFormatter], datefmt: str | None
    ) -> None:
        """Unless the logger has one already, which is the application's."""
        if has_handler(logger):
            return
        handler = log_handler(self._path if self._path is not None else self._stream)
        handler.setFormatter(self._formatter(setting, formatter, datefmt))
        logger.addHandler(handler)
        self._handlers.append((logger, handler))

    def _formatter(self, setting: str, formatter: type[ColorFormatter], datefmt: str | None) -> logging.Formatter:
        if self._json:
            return JsonFormatter()
        try:
            return formatter(getattr(self._conf, setting), use_color=self._colorize, datefmt=datefmt)
        except ValueError as exc:
            raise ConfigurationError(f"{setting}: {exc}") from None

    def _on_terminal(self) -> bool:
        if self._path is not None or self._json or self._stream is None:
            return False
        with suppress(AttributeError, ValueError):
            return bool(self._stream.isatty())
        return False


class _Handler(logging.StreamHandler[TextIO]):
    """Writes its own faults to the log; those that the log does not take either, to the process's standard error, which
    may be redirected to this very handler."""

    def handleError(self, record: logging.LogRecord) -> None:
        if not logging.raiseExceptions:
            return
        where = f"{record.pathname}:{record.lineno}: {safe_repr(record.msg):.1000} {safe_repr(record.args):.1000}"
        error = traceback.format_exc()
        said = logging.LogRecord(
            BASE_LOGGER, logging.ERROR, __file__, 0, "A log line cannot be written: it was logged at %s\n%s",
            (where, error), None,
        )  # fmt: skip
        try:
            self.stream.write(self.format(said) + self.terminator)
            self.flush()
        except Exception:  # noqa: BLE001 - the stream's, or the formatter's of the application
            if sys.__stderr__ is not None:
                with suppress(OSError, ValueError):
                    sys.__stderr__.write(f"--- Logging error ---\n{error}Logged at {where}\n")


class _FileHandler(_Handler, WatchedFileHandler):
    """Opens its file again after logrotate has moved it; writes UTF-8 in every locale, and any text."""

    def __init__(self, path: str) -> None:
        try:
            super().__init__(path, encoding="utf-8", errors="backslashreplace")
        except OSError as exc:
            raise ConfigurationError(f"--logfile {path}: cannot be opened: {exc.strerror}") from None


def empty_handlers() -> None:
    """Take the handlers from the loggers that a worker sets up."""
    for name in (None, "canvas", BASE_LOGGER, TASK_LOGGER, REDIRECTED_LOGGER):
        logging.getLogger(name).handlers[:] = []


def has_handler(logger: logging.Logger) -> bool:
    """Whether a logger has a handler that writes."""
    return any(not isinstance(handler, logging.NullHandler) for handler in logger.handlers)


def log_handler(place: Any) -> logging.Handler:
    """A handler for a path or for a stream. Raises ConfigurationError for a path that cannot be opened."""
    return _FileHandler(place) if isinstance(place, str) else _Handler(place)


def own_log(app: Canvas) -> OwnLog | None:
    """The log of an app that has a class of its own for it, or that was given another object; otherwise ``None``."""
    usual = Canvas.log_cls
    made = vars(app).get("log")
    if made is None and app.log_cls == usual:
        return None
    log: OwnLog = app.log
    kind = type(log)
    return None if f"{kind.__module__}:{kind.__qualname__}" == usual else log


def _put_back(stdout: TextIO, stderr: TextIO) -> None:
    sys.stdout, sys.stderr = stdout, stderr


def log_level(name: str, value: str | int) -> int:
    """A level as a number, from its name in any case, or from that number. Raises ConfigurationError."""
    if isinstance(value, int):
        return value
    levels = logging.getLevelNamesMapping()
    found = levels.get(value.upper(), int(value) if value.isdecimal() else None)
    if found is None:
        raise ConfigurationError(f"{name}: expected one of DEBUG, INFO, WARNING, ERROR, CRITICAL; got {value!r}")
    return found
