"""The tasks that a test has sent."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from canvas.model.message import Message
from canvas.telemetry import attach


@dataclass(frozen=True)
class SentTask:
    """A task that was sent."""

    name: str
    id: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    queue: str
    headers: dict[str, Any]


class Sent:
    """The tasks that were sent since ``listen``, in their order; a sequence of ``SentTask``."""

    def __init__(self) -> None:
        self._tasks: list[SentTask] = []

    def listen(self) -> Any:
        """Note what is sent from now on; the returned function ends that."""
        return attach(self._note, "message.published")

    def _note(self, message: Message, **_: Any) -> None:
        queue = str((message.properties.get("delivery_info") or {}).get("routing_key") or "")
        task = SentTask(message.task, message.id, tuple(message.args), dict(message.kwargs), queue, message.headers)
        self._tasks.append(task)

    def of(self, task: Any) -> list[SentTask]:
        """The calls of one task, given itself or its name."""
        name = getattr(task, "name", task)
        return [one for one in self._tasks if one.name == name]

    @property
    def names(self) -> list[str]:
        """The names of the tasks, in their order."""
        return [one.name for one in self._tasks]

    def clear(self) -> None:
        """Forget the messages that were sent."""
        self._tasks.clear()

    def __iter__(self) -> Iterator[SentTask]:
        return iter(list(self._tasks))

    def __len__(self) -> int:
        return len(self._tasks)

    def __getitem__(self, index: int) -> SentTask:
        return self._tasks[index]

    def __repr__(self) -> str:
        return f"<Sent {self._tasks!r}>"
