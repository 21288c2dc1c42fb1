"""The request of a task that runs eagerly, and how its end is stored."""

from typing import Any

from canvas.context import current_request
from canvas.errors import Reject, TaskRevokedError
from canvas.execution.executor import traceback_text
from canvas.model import states
from canvas.model.ids import new_id
from canvas.model.outcome import Failure, Ignored, Outcome, Rejected, ReplacedBy, Retried, Revoked, Success
from canvas.model.request import Request
from canvas.primitives.fields import as_list

_NOT_REQUEST = frozenset({"throw", "link", "link_error", "retries", "task_id", "root_id", "parent_id", "headers",
                          "eta", "countdown", "expires", "time_limit", "soft_time_limit", "shadow", "reply_to", "queue",
                          "exchange", "routing_key", "priority", "serializer", "compression"})  # fmt: skip
"""Options that an eager request leaves out: those that it has under another name, and, as in Celery, those that
concern a message or the time of a run."""
_DELIVERY = ("exchange", "routing_key", "priority")
_STORED = frozenset({states.SUCCESS, states.FAILURE, states.RETRY})

Options = dict[str, Any]


def is_stored(by_default: bool, task: Any, request: Request, state: str) -> bool:
    """Whether the result backend stores the result. ``by_default``: the setting ``task_store_eager_result``."""
    if state not in _STORED:
        return False
    ignores = task.ignore_result if request.ignore_result is None else request.ignore_result
    if not ignores:
        return bool(task.store_eager_result or by_default)
    return state == states.FAILURE and bool(task.store_errors_even_if_ignored)


def eager_request(hostname: str, task: Any, args: Any, kwargs: Any, options: Options) -> Request:
    """The request of a task that runs eagerly on a host, with these options of its call."""
    parent = current_request()
    task_id = options.get("task_id") or new_id()
    fields = {key: value for key, value in options.items() if key not in _NOT_REQUEST}
    own = {
        "id": task_id,
        "task": task.name,
        "args": args,
        "kwargs": kwargs,
        "retries": options.get("retries") or 0,
        "is_eager": True,
        "runs": task,
        "called_directly": False,
        "hostname": hostname,
        "callbacks": as_list(options.get("link")) or None,
        "errbacks": as_list(options.get("link_error")) or None,
        "headers": options.get("headers"),
        "loglevel": options.get("loglevel", 0),
        "root_id": options.get("root_id") or ((parent.root_id or parent.id) if parent else None) or task_id,
        "parent_id": options.get("parent_id") or (parent.id if parent else None),
        "timelimit": [task.time_limit, task.soft_time_limit] if task.time_limit or task.soft_time_limit else None,
        "ignore_result": options.get("ignore_result", task.ignore_result),
        "delivery_info": {"is_eager": True, **{key: options.get(key) for key in _DELIVERY}},
        **_stamps(options),
    }
    return Request(None, **{**fields, **own})


def _stamps(options: Options) -> Options:
    if "stamped_headers" not in options:
        return {}
    names = as_list(options["stamped_headers"])
    return {"stamped_headers": names, "stamps": {name: as_list(options.get(name)) for name in names}}


def end_of(outcome: Outcome) -> tuple[str, Any, str | None]:
    """State, result and traceback of a task that ended so."""
    match outcome:
        case Success(value):
            return states.SUCCESS, value, None
        case Failure(exc, text):
            return states.FAILURE, exc, text
        case Retried(retry, text):
            return states.RETRY, retry.exc, text
        case Ignored(exc):
            return states.IGNORED, exc, None if exc is None else traceback_text(exc)
        case ReplacedBy():
            return states.IGNORED, None, None
        case Rejected(reason, requeue, exc):
            return states.REJECTED, exc or Reject(reason, requeue), None if exc is None else traceback_text(exc)
        case Revoked(reason):
            return states.REVOKED, TaskRevokedError(reason), None
