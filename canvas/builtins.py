"""The tasks that every worker has, under Celery's names (SEMANTICS.md M1–M5, DESIGN: identity parts)."""

from typing import TYPE_CHECKING, Any

from canvas.model.run import CANCEL
from canvas.model.signature import maybe_signature
from canvas.model.spread import chunks
from canvas.task import Task

if TYPE_CHECKING:
    from canvas.app import Canvas


def accumulate(*args: Any, **kwargs: Any) -> Any:
    """Give back the arguments, or with ``index`` the one at that place."""
    index = kwargs.get("index")
    return args[index] if index is not None else args


def xmap(task: Any, it: Any) -> list[Any]:
    """``[task(item) for item in it]``."""
    function = maybe_signature(task).type
    return [function(item) for item in it]


def xstarmap(task: Any, it: Any) -> list[Any]:
    """``[task(*item) for item in it]``."""
    function = maybe_signature(task).type
    return [function(*item) for item in it]


def spread_chunks(task: Any, it: Any, n: int) -> Any:
    """Send the chunks as a group; the value is the group's result in tuple form."""
    return chunks.apply_chunks(maybe_signature(task), it, n)


def backend_cleanup(self: Task[Any]) -> None:
    """Delete expired results, where the store does not do it by itself."""
    self.backend.cleanup()


def cancel_run(self: Task[Any], run: str, attempt: int) -> str:
    """Cancel a workflow's run that is over its time."""
    from canvas.workflows.run import end_overdue

    return end_overdue(self.app, run, attempt)


def register(app: "Canvas") -> None:
    """Give ``app`` the built-in tasks."""
    options: dict[str, Any] = {"shared": False, "lazy": False, "base": Task}
    app.task(name="celery.accumulate", **options)(accumulate)
    app.task(name="celery.map", **options)(xmap)
    app.task(name="celery.starmap", **options)(xstarmap)
    app.task(name="celery.chunks", **options)(spread_chunks)
    app.task(name=CANCEL, bind=True, **options)(cancel_run)
    app.task(name="celery.backend_cleanup", bind=True, **options)(backend_cleanup)
