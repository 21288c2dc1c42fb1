"""Handles of the results that a plan names."""

from collections.abc import Mapping
from typing import Any, Protocol

from canvas.model.compiled import ResultRef
from canvas.result import AsyncResult, GroupResult
from canvas.task.task import RESULT_OF_TASKS, Task


class HandleApp(Protocol):
    """The parts of an app that handles are made with."""

    @property
    def tasks(self) -> Mapping[str, Task[Any]]: ...

    @property
    def AsyncResult(self) -> type[AsyncResult]: ...

    @property
    def GroupResult(self) -> type[GroupResult]: ...


def handle_of(app: HandleApp, ref: ResultRef) -> Any:
    """The AsyncResult or GroupResult of a result to come, with its ancestors."""
    return _handle(app.AsyncResult, app.GroupResult, app.tasks, ref)


def _handle(single: type[AsyncResult], group: type[GroupResult], tasks: Mapping[str, Task[Any]], ref: ResultRef) -> Any:
    handle: Any = None
    parent_ref = ref.parent
    # A call for long lines only: each task and each chord that is sent passes.
    line = (ref,) if parent_ref is None else (parent_ref, ref) if parent_ref.parent is None else ref.line()
    for node in line:
        if node.members is None:
            task, parent = tasks.get(node.task or ""), handle
            if task is not None and type(task).AsyncResult is not RESULT_OF_TASKS:
                handle = task.AsyncResult(node.id)
                handle.parent = parent
            else:
                handle = single(node.id, parent=parent)
            ignored = node.ignored
            if ignored is None:
                ignored = task is not None and task.ignore_result
            handle.ignored = bool(ignored)
        else:
            members = [_handle(single, group, tasks, member) for member in node.members]
            handle = group(node.id, members, parent=handle)
    return handle
