"""Telemetry → log lines, worded as Celery's are, because people and parsers grep them."""

import logging
from collections.abc import Callable
from typing import Any, NamedTuple, TextIO

from canvas.config import Config
from canvas.execute import traceback_text
from canvas.log import JsonFormatter, WorkerFormatter
from canvas.model.outcome import Failure, Ignored, Outcome, Rejected, Replaced, Retried, Revoked, Success
from canvas.model.shortrepr import safe_repr, short_repr
from canvas.settings import SETTINGS
from canvas.telemetry import attach, emit, listening

_worker = logging.getLogger("canvas.worker")
_received = logging.getLogger("canvas.worker.strategy")
_trace = logging.getLogger("canvas.app.trace")


class Form(NamedTuple):
    """How lines look: logging's formats and date formats, for all lines and for those of tasks; or JSON."""

    plain: str = SETTINGS["worker_log_format"].default
    of_tasks: str = SETTINGS["worker_task_log_format"].default
    date: str | None = None
    task_date: str | None = None
    json: bool = False

    @classmethod
    def of(cls, conf: Config) -> "Form":
        """As the settings say."""
        return cls(
            conf.worker_log_format,
            conf.worker_task_log_format,
            conf.worker_log_datefmt,
            conf.worker_task_log_datefmt,
        )

    def formatter(self) -> logging.Formatter:
        if self.json:
            return JsonFormatter()
        return WorkerFormatter(self.plain, self.of_tasks, self.date, self.task_date)


JSON = Form(json=True)


def set_up(level: str, stream: TextIO | None = None, logfile: str | None = None, form: Form | None = None) -> None:
    """Send the root logger's lines to ``stream`` or ``logfile``, and telemetry to the loggers.

    Whoever listens to ``logging.setup`` (the ``setup_logging`` signal) does the first himself.
    """
    if listening("logging.setup"):
        emit("logging.setup", loglevel=level, logfile=logfile)
        listen()
        return
    handler: logging.Handler = logging.FileHandler(logfile) if logfile else logging.StreamHandler(stream)
    form = form or Form()
    handler.setFormatter(form.formatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    emit("logging.ready", loglevel=root.level, logfile=logfile, format=form.plain, colorize=False)
    listen()


def listen() -> None:
    """Attach every log line to its event; those below the level cost nothing."""
    for event, listener, logger, level in _LINES:
        if logger.isEnabledFor(level):
            attach(listener, event)
    _unknown_told.clear()


def _task_received(message: Any, **_: Any) -> None:
    _received.info("Task %s[%s] received", message.headers.get("shadow") or message.task, message.id)


def _task_finished(message: Any, outcome: Outcome, runtime: float, **_: Any) -> None:
    if not _trace.isEnabledFor(logging.INFO) and not isinstance(outcome, Failure):
        return  # only failures are told at higher levels
    name = f"{message.headers.get('shadow') or message.task}[{message.id}]"
    match outcome:
        case Success(value):
            _trace.info("Task %s succeeded in %ss: %s", name, runtime, short_repr(value, 46))
        case Failure(exc, text, expected):
            if expected:
                _trace.info("Task %s raised expected: %s", name, safe_repr(exc))
            else:
                _trace.error("Task %s raised unexpected: %s\n%s", name, safe_repr(exc), text)
        case Retried(retry, _text):
            _trace.info("Task %s retry: %s", name, retry)
        case Ignored():
            _trace.info("Task %s ignored", name)
        case Replaced(sig):
            _trace.info("Task %s replaced by %s", name, short_repr(sig, 46))
        case Rejected(reason, requeue):
            _trace.info("Task %s rejected: %s requeue=%s", name, reason, requeue)
        case Revoked(reason):
            _trace.info("Discarding %s task: %s", reason, name)


_unknown_told: set[str] = set()


def _task_unknown(message: Any, queue: str, action: str, **_: Any) -> None:
    if message.task in _unknown_told:
        return
    _unknown_told.add(message.task)
    fate = "kept for a worker that knows it" if action == "requeue" else f"dead-lettered in {queue}"
    _worker.error("Received unregistered task of type %r (%s); did you import its module?", message.task, fate)


def _task_timeout(message: Any, limit: float, **_: Any) -> None:
    _worker.error("Hard time limit (%ss) exceeded for %s[%s]", limit, message.task, message.id)


def _task_terminated(message: Any, signal: str, **_: Any) -> None:
    _worker.info("Terminating %s[%s] (%s)", message.task, message.id, signal)


def _message_dead(queue: str, reason: str, **_: Any) -> None:
    _worker.critical("A message of queue %s cannot be run: %s; kept as a dead letter", queue, reason)


def _control_undecodable(reason: str, **_: Any) -> None:
    _worker.error("A remote control message cannot be read: %s; ignored", reason)


def _unreachable(error: str, **_: Any) -> None:
    _worker.error("consumer: Cannot use the broker: %s. Trying again...", error)


def _awaited(error: str, seconds: float, tries: int, most: int | None, **_: Any) -> None:
    _worker.error(
        "consumer: Cannot connect: %s. Trying again in %.2f seconds... (%s/%s)", error, seconds, tries, most or "∞"
    )


def _recovered(**_: Any) -> None:
    _worker.info("The broker is there again")


def _ready(hostname: str, **_: Any) -> None:
    _worker.info("%s ready.", hostname)


def _stopping(how: str, **_: Any) -> None:
    _worker.warning("worker: %s shutdown (MainProcess)", how.capitalize())


def _child_lost(pid: int, exitcode: int, **_: Any) -> None:
    _worker.error("Process %s exited with %s; what it held was given back", pid, exitcode)


def _killing(pid: int, why: str, **_: Any) -> None:
    _worker.error("Killing process %s, which does not end its task itself: %s", pid, why)


def _worn(pid: int, why: str, **_: Any) -> None:
    _worker.info("Process %s is replaced: %s", pid, why)


def _scaled(by: int, **_: Any) -> None:
    _worker.info("Scaling %s %s processes.", "up" if by > 0 else "down", abs(by))


def _unlimited(pool: str, who: str, **_: Any) -> None:
    _worker.warning("Hard time limits (%s) have no effect in the %s pool: use --pool prefork", who, pool)


def _unused(settings: dict[str, str], **_: Any) -> None:
    told = "".join(f"\n  {name}: {why}" for name, why in settings.items())
    _worker.warning("These settings have no effect:%s", told)


def _lease_lost(tag: str, queue: str, **_: Any) -> None:
    _worker.warning("Lost the lease %s of queue %s: another worker runs that message", tag, queue)


def _reaped(messages: int, **_: Any) -> None:
    _worker.warning("Gave back %s messages that dead workers held", messages)


def _chord_refused(group_id: str, reason: str, **_: Any) -> None:
    _worker.critical("Chord %s cannot be ended: %s", group_id, reason)


def _clock_off(seconds: float, **_: Any) -> None:
    _worker.warning("This machine's clock is off by %.0f seconds; times are the broker's from now on", -seconds)


def _forgotten(worker: str, **_: Any) -> None:
    _worker.warning(
        "The broker did not know worker %s any more: it was emptied, or is a copy that had fallen behind, or took this "
        "worker for dead. It is known again, and so are its queues; what it had leased may run elsewhere, or be gone",
        worker,
    )


def _run_lost(run: str, reason: str, **_: Any) -> None:
    _worker.error("A workflow's run %s is lost, and does not go on: %s", run, reason)


def _errback_failed(task: str, task_id: str, exc: BaseException, **_: Any) -> None:
    _worker.error("Errback %s of task %s raised: %s\n%s", task, task_id, safe_repr(exc), traceback_text(exc))


def _fault(work: Any, exc: BaseException, **_: Any) -> None:
    _worker.critical("Internal error on %.200r: %s\n%s", work, safe_repr(exc), traceback_text(exc))


def _crashed(worker: str, exc: BaseException, **_: Any) -> None:
    _worker.critical("Worker process %s crashed: %s\n%s", worker, safe_repr(exc), traceback_text(exc))


_LINES: list[tuple[str, Callable[..., None], logging.Logger, int]] = [
    ("task.received", _task_received, _received, logging.INFO),
    ("task.finished", _task_finished, _trace, logging.ERROR),
    ("task.timeout", _task_timeout, _worker, logging.ERROR),
    ("task.terminated", _task_terminated, _worker, logging.INFO),
    ("task.unknown", _task_unknown, _worker, logging.ERROR),
    ("message.dead", _message_dead, _worker, logging.CRITICAL),
    ("control.undecodable", _control_undecodable, _worker, logging.ERROR),
    ("broker.unreachable", _unreachable, _worker, logging.ERROR),
    ("broker.awaited", _awaited, _worker, logging.ERROR),
    ("broker.recovered", _recovered, _worker, logging.INFO),
    ("worker.ready", _ready, _worker, logging.INFO),
    ("worker.stopping", _stopping, _worker, logging.WARNING),
    ("worker.child_lost", _child_lost, _worker, logging.ERROR),
    ("worker.killing", _killing, _worker, logging.ERROR),
    ("worker.worn", _worn, _worker, logging.INFO),
    ("worker.scaled", _scaled, _worker, logging.INFO),
    ("worker.unlimited", _unlimited, _worker, logging.WARNING),
    ("worker.unused", _unused, _worker, logging.WARNING),
    ("worker.lease_lost", _lease_lost, _worker, logging.WARNING),
    ("worker.reaped", _reaped, _worker, logging.WARNING),
    ("chord.refused", _chord_refused, _worker, logging.CRITICAL),
    ("worker.clock_off", _clock_off, _worker, logging.WARNING),
    ("worker.forgotten", _forgotten, _worker, logging.WARNING),
    ("run.lost", _run_lost, _worker, logging.ERROR),
    ("errback.failed", _errback_failed, _worker, logging.ERROR),
    ("worker.fault", _fault, _worker, logging.CRITICAL),
    ("worker.crashed", _crashed, _worker, logging.CRITICAL),
]
