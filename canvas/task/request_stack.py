"""``Task.request_stack``."""

from typing import Any

from canvas.context import request_of, requests_of


class RequestStack:
    """``Task.request_stack``: the requests of a task's calls, the innermost on top."""

    def __init__(self, task: Any) -> None:
        self._task = task

    @property
    def top(self) -> Any:
        """The request of the call that runs; ``None`` if none does."""
        return request_of(self._task)

    @property
    def stack(self) -> list[Any]:
        return requests_of(self._task)

    def push(self, request: Any) -> None:
        self._task.push_request(**vars(request))

    def pop(self) -> None:
        self._task.pop_request()
