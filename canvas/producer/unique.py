"""Unique tasks: the lock that a call needs, and the result of the call that holds it."""

from typing import Any

from canvas.errors import DuplicateTask
from canvas.model.compiled import Plan
from canvas.model.settlement import UniqueLock
from canvas.producer.planner import SenderApp
from canvas.result import AsyncResult
from canvas.task.limits import unique_key
from canvas.task.task import Task

_IN_WORKFLOW = ("chain", "chord", "group_id")


def lock_of(plan: Plan, task: Task[Any]) -> UniqueLock | None:
    """The lock that a plan of one call of a unique ``task`` needs; ``None`` for a call in a workflow."""
    call = plan.calls[0]
    if any(call.options.get(name) for name in _IN_WORKFLOW):
        return None
    assert plan.result is not None
    return UniqueLock(unique_key(task, call.args, call.kwargs), plan.result.id)


def existing_result(app: SenderApp, plan: Plan, owner: str) -> AsyncResult:
    """The result of the unique task ``owner``, whose lock keeps the plan's call from being sent.

    Raises DuplicateTask if the task's ``unique_conflict`` is ``raise``.
    """
    task = app.tasks[plan.calls[0].task]
    if task.unique_conflict == "raise":
        raise DuplicateTask(task.name, owner)
    return app.AsyncResult(owner)
