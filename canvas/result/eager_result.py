"""The result of a task that ran in this process."""

from typing import Any

from canvas.errors import TaskRevokedError
from canvas.model import states
from canvas.model.record import Record
from canvas.result.handles import AsyncResult, R_co


class EagerResult(AsyncResult[R_co]):
    """The result of a task that ran in this process: ``apply()``, or ``delay()`` under ``task_always_eager``.

    ``ret_value`` is its value or exception in the final ``state``, with the ``traceback`` of the exception as text;
    ``name`` is the task's.
    """

    eager = True

    def __init__(
        self, id: str, ret_value: Any, state: str, traceback: str | None = None, name: str | None = None
    ) -> None:
        super().__init__(id)
        self.final_record = Record(id, state, ret_value, traceback)
        self._name = name

    @property
    def name(self) -> Any:
        """The task's name."""
        return self._name

    def get(self, timeout: float | None = None, propagate: bool = True, *_: Any, **__: Any) -> R_co:
        """The value at once, whatever ``timeout`` is; with ``propagate`` its exception is raised. ``None`` of a task
        that raised Ignore or Reject."""
        value = self.maybe_throw(propagate=propagate)
        return value if self.state in states.READY_STATES else None  # type: ignore[return-value]

    wait = get

    async def aget(self, timeout: float | None = None, propagate: bool = True, *_: Any, **__: Any) -> R_co:
        """The same as ``get``."""
        return self.get(propagate=propagate)

    def ready(self) -> bool:
        """True: the task has run."""
        return True

    def forget(self) -> None:
        """Nothing: the result is in this object alone."""
        return

    def revoke(self, *args: Any, **kwargs: Any) -> None:
        """Make it a result in state REVOKED. The arguments are ignored."""
        self.final_record = Record(self.id, states.REVOKED, TaskRevokedError("revoked"))

    def __reduce__(self) -> tuple[Any, ...]:
        record = self.record()
        return EagerResult, (self.id, record.result, record.status, record.traceback, self._name)
