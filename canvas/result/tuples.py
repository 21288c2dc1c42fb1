"""Results from their tuple form, ``((id, parent), members)``.

The classes of results enrol here, as the classes of signatures do under their ``subtask_type``: the result of a task
has children, which may be groups, and a group has members, which are results of tasks.
"""

from typing import Any, TypeVar

from canvas.errors import DecodeError
from canvas.result.app_classes import ResultApp

C = TypeVar("C", bound=type)

_CLASSES: dict[str, Any] = {}
"""The classes of results without an app: ``task``, ``group``."""


def single_result(cls: C) -> C:
    """Enrol the class of the results of one task."""
    _CLASSES["task"] = cls
    return cls


def group_result(cls: C) -> C:
    """Enrol the class of results that have members and an id."""
    _CLASSES["group"] = cls
    return cls


def result_from_tuple(structure: Any, app: ResultApp | None = None) -> Any:
    """The handle that a tuple form stands for (semantics.md R1). Raises DecodeError for what is no tuple form."""
    try:
        return _handle(structure, app)
    except (TypeError, ValueError, LookupError, RecursionError) as exc:
        raise DecodeError(f"result: expected ((id, parent), members); got {structure!r:.100}") from exc


def _handle(structure: Any, app: ResultApp | None) -> Any:
    if structure is None:
        raise TypeError("nothing")
    if isinstance(structure, _CLASSES["task"]):
        return structure
    line = []
    node = structure
    while node is not None:
        line.append(node)
        node = node[0][1] if isinstance(node[0], list | tuple) else None
    one, several = (_CLASSES["task"], _CLASSES["group"]) if app is None else (app.AsyncResult, app.GroupResult)
    handle: Any = None
    for node in reversed(line):
        task_id = node[0][0] if isinstance(node[0], list | tuple) else node[0]
        members = node[1]
        if members is None:
            handle = one(task_id, parent=handle)
        else:
            handle = several(task_id, [_handle(m, app) for m in members], parent=handle)
    return handle
