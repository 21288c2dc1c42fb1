"""The lines of tasks, as Celery's worker writes them: texts, levels, and what their records carry."""

import logging
from typing import Any

from canvas.errors import Reject
from canvas.model.message import Message
from canvas.model.outcome import Failure, Ignored, Outcome, Rejected, ReplacedBy, Retried, Revoked, Success
from canvas.task.task import Task
from canvas.text import safe_repr, short_repr

RECEIVED = logging.getLogger("celery.worker.strategy")
_request = logging.getLogger("celery.worker.request")
TRACE = logging.getLogger("celery.app.trace")

LOG_RECEIVED = "Task %(name)s[%(id)s] received"
LOG_SUCCESS = "Task %(name)s[%(id)s] succeeded in %(runtime)ss: %(return_value)s"
LOG_FAILURE = "Task %(name)s[%(id)s] %(description)s: %(exc)s"
LOG_IGNORED = "Task %(name)s[%(id)s] %(description)s"
LOG_REJECTED = "Task %(name)s[%(id)s] %(exc)s"
LOG_RETRY = "Task %(name)s[%(id)s] retry: %(exc)s"
LOG_REPLACED = "Task %(name)s[%(id)s] replaced by %(replacement)s"
"""The first six are Celery's, and what they name is in the record's ``data`` as in Celery's."""


def task_received(message: Message, **_: Any) -> None:
    _log(RECEIVED, logging.INFO, LOG_RECEIVED, {**_about(message), "eta": message.headers.get("eta")})


def task_finished(
    message: Message, outcome: Outcome, runtime: float, hostname: str = "", task: Task[Any] | None = None, **_: Any
) -> None:
    if not TRACE.isEnabledFor(logging.INFO) and not isinstance(outcome, Failure | Rejected):
        return  # the others are logged at INFO
    about = _about(message)
    match outcome:
        case Success(value):
            succeeded = {**about, "return_value": _shown(value, task), "runtime": runtime}
            _log(TRACE, logging.INFO, LOG_SUCCESS, succeeded)
        case Retried(retry, _text):
            _log(TRACE, logging.INFO, LOG_RETRY, {"id": about["id"], "name": about["name"], "exc": str(retry)})
        case ReplacedBy(sig):
            _log(TRACE, logging.INFO, LOG_REPLACED, {**about, "replacement": short_repr(sig, 46)})
        case Revoked(reason):
            _request.info("Discarding %s task: %s[%s]", reason, about["name"], about["id"])
        case _:
            _task_ended(outcome, {**about, "hostname": hostname, "internal": False})


def _shown(value: Any, task: Task[Any] | None) -> str:
    return short_repr(value, Task.resultrepr_maxsize if task is None else task.resultrepr_maxsize)


def _task_ended(outcome: Failure | Ignored | Rejected, about: dict[str, Any]) -> None:
    """The line of a task that raised."""
    match outcome:
        case Failure(exc, text, True):
            about |= {"exc": safe_repr(exc), "traceback": text, "description": "raised expected"}
            _log(TRACE, logging.INFO, LOG_FAILURE, about)
        case Failure(exc, text):
            about |= {"exc": safe_repr(exc), "traceback": text, "description": "raised unexpected"}
            _log(TRACE, logging.ERROR, LOG_FAILURE, about, exc, text)
        case Ignored():
            about |= {"exc": "Ignore()", "traceback": "", "description": "ignored"}
            _log(TRACE, logging.INFO, LOG_IGNORED, about)
        case Rejected(reason, requeue):
            refusal = Reject(reason, requeue)
            about |= {"exc": safe_repr(refusal), "traceback": "", "description": "rejected"}
            _log(TRACE, logging.WARNING, LOG_REJECTED, about, refusal)


def _about(message: Message) -> dict[str, Any]:
    headers = message.headers
    return {
        "id": message.id,
        "name": headers.get("shadow") or message.task,
        "args": headers.get("argsrepr"),
        "kwargs": headers.get("kwargsrepr"),
    }


def _log(
    logger: logging.Logger, level: int, text: str, about: dict[str, Any], exc: BaseException | None = None,
    traceback: str = "",
) -> None:  # fmt: skip
    """A line of a task: ``about`` fills the text's places and is the record's ``data``; with ``exc``, its traceback."""
    if logger.isEnabledFor(level):
        handle(logger, level, text, (about,), exc, traceback, {"data": about})


def handle(
    logger: logging.Logger, level: int, text: str, args: tuple[object, ...], exc: BaseException | None,
    traceback: str, extra: dict[str, object],
) -> None:  # fmt: skip
    exc_info = (type(exc), exc, exc.__traceback__) if exc is not None else None
    record = logger.makeRecord(logger.name, level, __file__, 0, text, args, exc_info, extra=extra)
    if traceback:
        # Formatters use it as it is: without canvas' own frames, and written even where the exception cannot be.
        record.exc_text = traceback.rstrip("\n")
    logger.handle(record)
