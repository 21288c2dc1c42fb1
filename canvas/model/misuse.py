"""What else was given where a signature is expected, and what to write instead."""

import inspect
from typing import Any, NoReturn

from canvas.model.record import Handle


def advice(value: Any) -> str:
    """``"; write add.s(...)"`` and the like, to end a refusal with; empty for what is nothing known."""
    if (task := _task_name(value)) is not None:
        return f"; write {task}.s(...)"
    if isinstance(value, Handle):
        return "; write .s(...) instead of .delay(...): what is sent already cannot become part of a workflow"
    if inspect.isawaitable(value):
        return "; did you call the task instead of .s(...)? This is what a coroutine function returns"
    if inspect.isroutine(value) or isinstance(value, type):
        called = getattr(value, "__name__", "function")
        return f"; {called} is no task: decorate it with @app.task and write {called}.s(...)"
    if isinstance(value, str):
        return f"; for a task by its name write signature({value!r:.100}, args)"
    return "; did you call the task instead of .s(...)?"


def refuse_pipe(operand: Any) -> NoReturn:
    """Raise the TypeError of a ``|`` with an operand that is no signature."""
    raise TypeError(f"| takes signatures; got {operand!r:.100}{advice(operand)}")


def _task_name(value: Any) -> str | None:
    """What a task is called in its module; ``None`` for what is no task."""
    kind = type(value)
    # A shared task takes these from the app's task, which need not be there yet.
    if isinstance(value, type) or not (hasattr(kind, "delay") or kind.__name__ == "SharedTask"):
        return None
    return str(value.name).rpartition(".")[2]
