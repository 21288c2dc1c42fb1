"""Errors for values that were given in place of a signature, with the correct code."""

import inspect
from collections.abc import Mapping
from typing import Any, NoReturn

from canvas.caller_warnings import warn_caller
from canvas.errors import CompositionError
from canvas.model.call_options import KNOWN
from canvas.model.record import Handle
from canvas.model.workflow_run import WORKFLOWS
from canvas.text import nearest_name

_OF_SIGNATURES = ("options", "type", "subtask_type", "immutable", "app")
_MAKES_SIGNATURES = ("s", "si", "signature")


def is_task(value: Any) -> bool:
    """Whether ``value`` is a task, and not a signature of one."""
    kind = type(value)
    if isinstance(value, type | dict):  # a signature is a dict, and has delay() too
        return False
    # A shared task takes its attributes from the app's task, which need not be there yet.
    return hasattr(kind, "delay") or kind.__name__ == "SharedTask"


def advice(value: Any) -> str:
    """The end of an error message, such as ``"; write add.s(...)"``; empty for unknown kinds of values."""
    if inspect.ismethod(value) and is_task(value.__self__):
        method = value.__name__ if value.__name__ in _MAKES_SIGNATURES else "s"
        return f"; a call is missing: write {_last_name(value.__self__)}.{method}(...)"
    if isinstance(value, list | tuple):
        return "; for signatures that run side by side write group([...])"
    if isinstance(value, tuple(WORKFLOWS)):
        return (
            "; a workflow is not a signature: flow.add(…) makes it a node of another workflow, and a task that returns "
            "it ends as it does"
        )
    if is_task(value):
        return f"; write {_last_name(value)}.s(...)"
    if isinstance(getattr(value, "flow", None), tuple(WORKFLOWS)):
        return "; the handle of a node is an argument of a signature: task.s(handle)"
    if isinstance(value, Handle):
        return "; write .s(...) instead of .delay(...): what is sent already cannot become part of a workflow"
    if inspect.isawaitable(value):
        return "; did you call the task instead of .s(...)? This is what a coroutine function returns"
    if inspect.isroutine(value) or isinstance(value, type):
        called = getattr(value, "__name__", "function")
        return f"; {called} is not a task: decorate it with @app.task and write {called}.s(...)"
    if isinstance(value, str):
        return f"; for a task by its name write signature({value!r:.100}, args)"
    return "; did you call the task instead of .s(...)?"


def warn_of_call_options(task: str, options: Mapping[str, Any]) -> None:
    """Warn of each option of a call whose name looks like a misspelling of another one.

    A name that resembles no option is accepted: it becomes a property of the message.
    """
    stamps = options.get("stamped_headers") or ()
    for name in options:
        if name not in KNOWN and name not in stamps:
            near = nearest_name(name, KNOWN)
            if near is not None:
                warn_caller(f"{task}: unknown option {name!r}; did you mean {near}?")


def check_signature(task: Any, options: Mapping[str, Any]) -> None:
    """Raise CompositionError for the first argument of ``signature()`` that is not a task or the name of one, and warn
    of its misspelt keyword arguments."""
    if not isinstance(task, str) and not hasattr(task, "name"):
        raise CompositionError(
            "signature() takes the name of a task, a task, a signature, or a dict that describes one; "
            f"got {type(task).__name__} {task!r:.100}"
        )
    given = {name: value for name, value in options.items() if name not in _OF_SIGNATURES}
    if given:
        warn_of_call_options(getattr(task, "name", task), given)


def _last_name(task: Any) -> str:
    return str(task.name).rpartition(".")[2]


def refuse_pipe(operand: Any) -> NoReturn:
    """Raise the TypeError of a ``|`` with an operand that is not a signature."""
    raise TypeError(f"| takes signatures; got {operand!r:.100}{advice(operand)}")
