"""A queue, and how an exchange reaches it."""

from typing import Any, NamedTuple


class Queue(NamedTuple):
    """``exchange`` and ``routing_key`` left empty are the queue's own name (protocol.md §1.7)."""

    name: str
    exchange: str = ""
    routing_key: str = ""
    exchange_type: str = "direct"
    arguments: dict[str, Any] | None = None

    def filled(self) -> "Queue":
        """With exchange and routing key spelled out."""
        return self._replace(exchange=self.exchange or self.name, routing_key=self.routing_key or self.name)
