"""Problems that keep a message from being sent: of its sender, and of a value that a serializer cannot write."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from canvas.wire import codecs

_STEPS = 20
"""The most steps that the place of a value names."""


def problem_of(send: Callable[[], object]) -> BaseException | None:
    """The exception that ``send`` raised, ``None`` if it raised nothing.

    Routers and the values of a call run code of the project, which may raise anything and may call ``sys.exit()``.
    Raises RecursionError: the caller of the settlement makes it again with a deeper stack.
    """
    try:
        send()
    except RecursionError:
        raise
    except (Exception, SystemExit) as exc:  # noqa: BLE001 - it is reported or settled by the caller
        return exc
    return None


def find_unencodable(task: str, value: Any, serializer: str) -> str | None:
    """The place in ``value`` (a message's args, kwargs and embed) that cannot be written: ``"add: args[0]['x']"``."""
    names = {0: "args", 1: "kwargs", 2: ""}
    can_write = partial(codecs.can_write, serializer=serializer)
    for place, part in enumerate(value):
        if not can_write(part):
            return _descend(task, names[place], part, can_write)
    return None


def find_unencodable_result(value: Any, can_write: Callable[[Any], bool]) -> str | None:
    """The place in a task's result that cannot be written: ``"its result['x'][0]"``; ``None`` if all of it can."""
    return None if can_write(value) else _descend("", "result", value, can_write).replace(": result", "its result", 1)


def _descend(task: str, path: str, value: Any, can_write: Callable[[Any], bool]) -> str:
    opened: set[int] = set()
    while len(opened) < _STEPS and id(value) not in opened:
        opened.add(id(value))
        if isinstance(value, Mapping) and isinstance(value.get("task"), str) and "subtask_type" in value:
            task, path = value["task"], ""
        part = next(((key, item) for key, item in _parts(value) if not can_write(item)), None)
        if part is None:
            break
        key, value = part
        path = key if not path and isinstance(key, str) else f"{path}[{key!r}]"
    return f"{task}: {path}"


def _parts(value: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(value, Mapping):
        return value.items()
    return enumerate(value) if isinstance(value, list | tuple) else ()
