"""Remote control messages to workers (PROTOCOL.md §6)."""

from typing import TYPE_CHECKING, Any
from uuid import uuid4

if TYPE_CHECKING:
    from canvas.app import Canvas


class Control:
    """``app.control``: broadcasts commands that workers of canvas and of Celery understand."""

    def __init__(self, app: "Canvas") -> None:
        self._app = app

    def revoke(
        self,
        task_id: str | list[str],
        destination: list[str] | None = None,
        terminate: bool = False,
        signal: str = "SIGTERM",
    ) -> None:
        """Tell workers not to run a task (or tasks), and with ``terminate`` to stop it where it runs."""
        arguments = {"task_id": task_id, "terminate": terminate, "signal": signal}
        self.broadcast("revoke", arguments, destination)

    def revoke_by_stamped_headers(
        self,
        headers: dict[str, Any],
        destination: list[str] | None = None,
        terminate: bool = False,
        signal: str = "SIGTERM",
    ) -> None:
        """``revoke`` for every task that has one of the stamps."""
        arguments = {"headers": headers, "terminate": terminate, "signal": signal}
        self.broadcast("revoke_by_stamped_headers", arguments, destination)

    def broadcast(
        self, command: str, arguments: dict[str, Any] | None = None, destination: list[str] | None = None
    ) -> None:
        """Send a command to all workers, or to those named in ``destination``; no reply is asked for."""
        body = {
            "method": command,
            "arguments": arguments or {},
            "destination": destination,
            "pattern": None,
            "matcher": None,
            "ticket": str(uuid4()),
        }
        app = self._app
        app.driver.broker.broadcast(app.conf.control_exchange + ".pidbox", app.client.control(body))
