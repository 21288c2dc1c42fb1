"""Mistakes in the definition of a task, found where it is decorated: errors, and warnings.

An option whose name resembles no other is accepted: plug-ins have options of their own.
"""

from collections.abc import Callable, Mapping
from types import UnionType
from typing import Any, Final, NoReturn, get_args

from canvas.caller_warnings import DuplicateTaskNameWarning, warn_caller
from canvas.model.call_options import ATTRIBUTES
from canvas.task.attributes import exception_classes
from canvas.text import nearest_name

_TASK: Final = frozenset(
    {
        "name", "base", "bind", "lazy", "shared", "pydantic", "pydantic_strict", "pydantic_context",
        "pydantic_dump_kwargs", "filter", "type", "options", "Request", "Strategy", "from_config", "immediate",
        "mandatory", "exchange_type", "retry_on_worker_lost", "accept_magic_kwargs", "on_bound", "request_stack",
    }
)  # fmt: skip
"""Options of ``@app.task`` that are not attributes of tasks."""
_NUMBERS = ("max_retries", "default_retry_delay", "time_limit", "soft_time_limit", "retry_backoff_max")
_LIMITS = ("time_limit", "soft_time_limit")
_EXCEPTIONS = ("autoretry_for", "dont_autoretry_for", "throws")


def refuse_decorated(decorator: str, args: tuple[Any, ...]) -> NoReturn:
    """Raise TypeError for positional arguments of ``@app.task`` that are not one function."""
    first = args[0]
    hint = ""
    if isinstance(first, str):
        hint = f"; for the name of the task write {decorator}(name={first!r:.100})"
    elif isinstance(first, property):
        hint = "; a property cannot be a task"
    raise TypeError(f"{decorator} takes a function or keyword options; got {args!r:.100}{hint}")


def check_definition(function: Any, name: Any, base: Any, root: type) -> None:
    """Raise TypeError for a function, a name or a base from which no task can be made. ``root``: the class of tasks.

    A false value for the name or the base is none, as in Celery."""
    if isinstance(function, staticmethod | classmethod):
        kind = type(function).__name__
        raise TypeError(f"@app.task takes a function; got a {kind}: write @{kind} above @app.task")
    if isinstance(function, type):
        named = function.__qualname__
        hint = f"; write app.register_task({named}())" if issubclass(function, root) else ""
        raise TypeError(f"@app.task takes a function; got the class {named}{hint}")
    if name and not isinstance(name, str):
        raise TypeError(f"@app.task: name: expected text; got {type(name).__name__} {name!r:.100}")
    if base and not (isinstance(base, type) and issubclass(base, root)):
        raise TypeError(f"@app.task: base: expected a subclass of Task; got {base!r:.100}")


def warn_of_task_options(task: str, options: Mapping[str, Any], base: type) -> None:
    """Warn of each option of a task that its class does not have and that looks like another one misspelt, and of
    values that fail once they are used: at a retry, or when the task raises."""
    known = frozenset(name for name in dir(base) if not name.startswith("_")) | _TASK | {*ATTRIBUTES}
    for name in options:
        if name not in known:
            near = nearest_name(name, known)
            if near is not None:
                warn_caller(f"{task}: unknown task option {name!r}; did you mean {near}?")
    _warn_of_values(task, options)


def _warn_of_values(task: str, options: Mapping[str, Any]) -> None:
    for option in _NUMBERS:
        value = options.get(option)
        if value is not None and not hasattr(value, "__float__"):
            warn_caller(f"{task}: {option}: expected a number; got {type(value).__name__} {value!r:.100}")
        elif option in _LIMITS and value is not None and float(value) < 0:
            warn_caller(f"{task}: {option}: expected seconds, 0 or more; got {value!r:.100}")
    for option in _EXCEPTIONS:
        given = options.get(option)
        wrong = [one for one in exception_classes(given) if not _names_exceptions(one)]
        if wrong:
            warn_caller(f"{task}: {option}: expected classes of exceptions, in a tuple; got {wrong[0]!r:.100}")


def _names_exceptions(given: Any) -> bool:
    parts = get_args(given) if isinstance(given, UnionType) else (given,)
    return all(isinstance(one, type) and issubclass(one, BaseException) for one in parts)


def warn_of_wrapper(name: str, old: Any, new: Callable[..., Any]) -> None:
    """Warn of two tasks that are the same wrapper around different functions, as a decorator without
    ``functools.wraps`` makes them."""
    if getattr(old, "__code__", None) is not getattr(new, "__code__", new) or _wrapped(old) == _wrapped(new):
        return
    warn_caller(
        f"two tasks have the name {name!r}, and calls run the later one: {new.__qualname__} wraps several functions. "
        "Put @functools.wraps(function) on it, or give each task a name=",
        DuplicateTaskNameWarning,
    )


def _wrapped(function: Any) -> list[Any]:
    """The code of the functions that a wrapper calls."""
    found: list[Any] = []
    for cell in function.__closure__ or ():
        try:
            found.append(getattr(cell.cell_contents, "__code__", None))
        except ValueError:
            found.append(None)  # not assigned yet
    return found
