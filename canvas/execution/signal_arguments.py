"""The request that receivers of ``task_received`` get, and the message that receivers of ``task_rejected`` get."""

from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from canvas.model.message import Message
from canvas.model.request import Request
from canvas.wire.moments import instant

if TYPE_CHECKING:
    from canvas.task.task import Task


class RefusedMessage(NamedTuple):
    """The message that receivers of ``task_rejected`` get, with the names that kombu's has."""

    body: bytes
    """The bytes of the whole message where its headers cannot be read."""
    headers: dict[str, Any]
    properties: dict[str, Any]
    delivery_info: dict[str, Any]
    content_type: str | None
    content_encoding: str | None


_PRIVATE = {
    "_payload": "body",
    **{f"_{name}": name for name in (
        "app", "args", "argsrepr", "body", "delivery_info", "eta", "expires", "hostname", "ignore_result", "kwargs",
        "kwargsrepr", "message", "parent_id", "request_dict", "root_id", "task", "type",
    )},
}  # fmt: skip
"""Attributes of Celery's worker request that programs read though they are not public, and the public ones."""


class ReceivedRequest:
    """The names of Celery's worker request; every other name is a field of the task's own request."""

    def __init__(self, message: Message, context: Request, task: "Task[Any]", hostname: str) -> None:
        self.message = message
        self.task = task
        self.hostname = hostname
        self.app = getattr(task, "app", None)
        self.id = self.task_id = message.id
        self.name = self.task_name = message.headers.get("shadow") or message.task
        self.type = message.task
        self.args = message.args
        self.kwargs = message.kwargs
        self.acknowledged = False
        self.time_start: float | None = None
        self.worker_pid: int | None = None
        self._context = context

    @property
    def request_dict(self) -> dict[str, Any]:
        """The headers of the message, with its arguments and its properties."""
        message = self.message
        return {
            **message.headers, "args": message.args, "kwargs": message.kwargs, "properties": message.properties,
            "delivery_info": self._context.delivery_info, "hostname": self.hostname,
        }  # fmt: skip

    @property
    def body(self) -> tuple[Any, Any, Any]:
        return self.message.args, self.message.kwargs, self.message.embed

    @property
    def root_id(self) -> Any:
        return self.message.headers.get("root_id")

    @property
    def eta(self) -> datetime | None:
        """The time before which the task does not start."""
        return self._moment("eta")

    @property
    def expires(self) -> datetime | None:
        """The time after which the task does not start."""
        return self._moment("expires")

    def _moment(self, name: str) -> datetime | None:
        text = self.message.headers.get(name)
        return instant(text, name) if text else None

    @property
    def argsrepr(self) -> Any:
        return self.message.headers.get("argsrepr")

    @property
    def kwargsrepr(self) -> Any:
        return self.message.headers.get("kwargsrepr")

    def info(self, safe: bool = False) -> dict[str, Any]:
        """The fields that ``inspect active`` shows; with ``safe`` the arguments are text."""
        return {
            "id": self.id,
            "name": self.name,
            "args": self.argsrepr if safe else self.args,
            "kwargs": self.kwargsrepr if safe else self.kwargs,
            "type": self.type,
            "hostname": self.hostname,
            "time_start": self.time_start,
            "acknowledged": self.acknowledged,
            "delivery_info": self._context.delivery_info,
            "worker_pid": self.worker_pid,
        }

    def humaninfo(self) -> str:
        return f"{self.name}[{self.id}]"

    def __getattr__(self, name: str) -> Any:
        if name in _PRIVATE:
            return getattr(self, _PRIVATE[name])
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._context, name)

    __str__ = humaninfo

    def __repr__(self) -> str:
        return f"<Request: {self.humaninfo()} {self.argsrepr} {self.kwargsrepr}>"
