"""Which tasks run now, as the workers answer."""

from canvas.workflows.services import WorkflowServices


def running_tasks(app: WorkflowServices, timeout: float) -> dict[str, float | None]:
    """The ids of tasks that workers run, and since when (unix time), by asking the workers."""
    found: dict[str, float | None] = {}
    answers = app.control.broadcast("active", {"safe": True}, reply=True, timeout=timeout) or []
    for answer in answers:
        for tasks in answer.values():
            for task in tasks if isinstance(tasks, list) else ():
                since = task.get("time_start") if isinstance(task, dict) else None
                if isinstance(task, dict) and isinstance(task.get("id"), str):
                    found[task["id"]] = float(since) if isinstance(since, int | float) else None
    return found
