"""Remote control messages to workers (PROTOCOL.md §6)."""

from typing import TYPE_CHECKING, Any
from uuid import uuid4

from canvas.model.revocation import id_entry, stamp_entries

if TYPE_CHECKING:
    from canvas.app import Canvas


REVOKED_FOR = 86_400.0
"""Seconds that a revocation is kept."""


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
        """Tell workers not to run a task (or tasks), and with ``terminate`` to stop it where it runs.

        Canvas' workers find it in the broker, for a day, however late they start; Celery's are told. A task that
        nobody has begun is REVOKED from now on.
        """
        ids = [task_id] if isinstance(task_id, str) else list(task_id)
        self._app.driver.broker.revoke([id_entry(one) for one in ids], REVOKED_FOR)
        self._app.backend.mark_revoked(ids)
        arguments = {"task_id": task_id, "terminate": terminate, "signal": signal}
        self.broadcast("revoke", arguments, destination)

    def revoke_by_stamped_headers(
        self,
        headers: dict[str, Any],
        destination: list[str] | None = None,
        terminate: bool = False,
        signal: str = "SIGTERM",
    ) -> None:
        """``revoke`` for every task that has one of the stamps; a stamp's value may be a list of values."""
        self._app.driver.broker.revoke(stamp_entries(headers), REVOKED_FOR)
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
