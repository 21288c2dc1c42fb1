"""A queue, and how an exchange reaches it."""

import re
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

    def takes(self, routing_key: str) -> bool:
        """Whether the queue's exchange gives it a message with this routing key."""
        if self.exchange_type == "fanout":
            return True
        key = self.routing_key or self.name
        if self.exchange_type != "topic":
            return key == routing_key
        words = {"*": r"[^\.]+", "#": r".*?"}
        pattern = r"\.".join(words.get(word, re.escape(word)) for word in key.split("."))
        return re.fullmatch(pattern, routing_key) is not None
