"""The options of a call: each is checked for its kind before anything is sent."""

from collections.abc import Callable, Mapping
from math import inf
from typing import TYPE_CHECKING, Any, Final

from canvas.caller_warnings import warn_caller
from canvas.errors import CompositionError, InvalidTaskError
from canvas.model.call_options import NAMES
from canvas.primitives.fields import as_list
from canvas.primitives.misuse import advice
from canvas.wire.typed_json import lazy_text

if TYPE_CHECKING:
    from canvas.task.task import Task

_HIGHEST_PRIORITY = 255
"""Of RabbitMQ. Redis has 0 to 9."""


def check_options(task: str, options: Mapping[str, Any]) -> None:
    """Raise InvalidTaskError for an option of the wrong kind, CompositionError for a link that is not a signature, and
    TypeError for arguments among the options.

    Connections of Celery's that canvas has no use for are ignored, with a warning.
    """
    for name, value in options.items():
        check = _CHECKS.get(name)
        if check is not None and value is not None:
            check(task, name, value)


def check_limits(task: "Task[Any]", options: Mapping[str, Any]) -> None:
    """Raise ValueError, as Celery does, for a soft time limit above the hard one.

    A call may lower the hard limit below the soft limit of its task, which then has no effect.
    """
    given, own = options.get("soft_time_limit"), task.soft_time_limit
    soft, hard = given or own, options.get("time_limit") or task.time_limit
    if soft and hard and soft > hard and (given or (task.time_limit and soft > task.time_limit)):
        raise ValueError(
            f"{task.name}: soft_time_limit must be less than or equal to time_limit; got {soft:g} s and {hard:g} s"
        )


def _text(task: str, name: str, value: Any) -> None:
    if not isinstance(value, str) and not isinstance(value, lazy_text()):
        raise _unexpected(task, name, "text", value)


def _mapping(task: str, name: str, value: Any) -> None:
    if not isinstance(value, Mapping):
        raise _unexpected(task, name, "a mapping", value)


def _seconds(task: str, name: str, value: Any) -> None:
    if not isinstance(value, int | float):
        raise _unexpected(task, name, "seconds (int or float)", value)


def _limit(task: str, name: str, value: Any) -> None:
    _seconds(task, name, value)
    if not 0 <= value < inf:
        raise _unexpected(task, name, "seconds, 0 or more", value)


def _queue(task: str, name: str, value: Any) -> None:
    if not isinstance(value, str | Mapping) and not hasattr(value, "name"):
        raise _unexpected(task, name, "the name of a queue", value)


def _priority(task: str, name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _unexpected(task, name, "a whole number", value)
    if not 0 <= value <= _HIGHEST_PRIORITY:
        warn_caller(
            f"{task}: priority: expected 0 to {_HIGHEST_PRIORITY}; got {value}, which counts as the nearest one"
        )


def _links(task: str, name: str, value: Any) -> None:
    for linked in as_list(value):
        if not isinstance(linked, dict):
            raise CompositionError(f"{task}: {name} takes signatures; got {linked!r:.100}{advice(linked)}")
        if options := linked.get("options"):
            # Their own callbacks are not looked at: one may lead back to the first.
            check_options(str(linked.get("task")), {key: options[key] for key in options if key not in _LINKS})


def _ignored(task: str, name: str, value: Any) -> None:
    """Anything: canvas sends over its own connections. An object of another library may lead to another broker."""
    if value is not None and type(value).__module__.partition(".")[0] != "canvas":
        warn_caller(f"{task}: option {name!r} has no meaning in canvas and is ignored")


def _unexpected(task: str, name: str, expected: str, value: Any) -> InvalidTaskError:
    return InvalidTaskError(f"{task}: {name}: expected {expected}; got {type(value).__name__} {value!r:.100}")


def _arguments(task: str, name: str, value: Any) -> None:
    raise TypeError(
        f"{task}: {name!r} is no option, and set() does not take it: give arguments to s(), clone({name}=...) or "
        f"apply_async({name}=...)"
    )


CONNECTIONS = ("producer", "publisher", "connection", "router", "result_cls")
"""Options that Celery sends by."""
_LINKS = ("link", "link_error")
_TEXT = ("task_id", "group_id", "root_id", "parent_id", "shadow", "serializer", "compression", "argsrepr", "kwargsrepr")
_CHECKS: dict[str, Callable[[str, str, Any], None]] = {
    **dict.fromkeys(CONNECTIONS, _ignored),
    **dict.fromkeys(_TEXT, _text),
    **dict.fromkeys(("time_limit", "soft_time_limit"), _limit),
    "countdown": _seconds,
    **dict.fromkeys(_LINKS, _links),
    **dict.fromkeys(("headers", "retry_policy"), _mapping),
    "priority": _priority,
    "queue": _queue,
    **dict.fromkeys(("args", "kwargs"), _arguments),
}
TEXT_OPTIONS: Final = NAMES.difference(_CHECKS, ("chain",)).union(_TEXT, ("queue",))
"""Options that pass every check here if their values are text or ``None``."""
