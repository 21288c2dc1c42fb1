"""The place in a message, or in a result, of a value that a serializer cannot write."""

from collections.abc import Callable, Mapping
from typing import Any


def find_unencodable(task: str, value: Any, can_write: Callable[[Any], bool]) -> str | None:
    """The place in ``value`` (a message's args, kwargs and embed) that cannot be written: ``"add: args[0]['x']"``."""
    names = {0: "args", 1: "kwargs", 2: ""}
    for place, part in enumerate(value):
        if not can_write(part):
            return _descend(task, names[place], part, can_write)
    return None


def find_unencodable_result(value: Any, can_write: Callable[[Any], bool]) -> str | None:
    """The place in a task's result that cannot be written: ``"its result['x'][0]"``; ``None`` if all of it can."""
    return None if can_write(value) else _descend("", "result", value, can_write).replace(": result", "its result", 1)


def _descend(task: str, path: str, value: Any, can_write: Callable[[Any], bool]) -> str:
    if isinstance(value, Mapping):
        if isinstance(value.get("task"), str) and "subtask_type" in value:
            task, path = value["task"], ""
        items: Any = value.items()
    elif isinstance(value, list | tuple):
        items = enumerate(value)
    else:
        return f"{task}: {path}"
    for key, item in items:
        if not can_write(item):
            step = key if not path and isinstance(key, str) else f"{path}[{key!r}]"
            return _descend(task, step, item, can_write)
    return f"{task}: {path}"
