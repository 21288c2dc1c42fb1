"""A queue, and how an exchange reaches it."""

import re
from typing import Any, NamedTuple

_DOT = r"\."
_WILDCARDS = {"*": r"[^\.]+", "#": r".*?"}


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
        return re.match(topic_pattern(key), routing_key) is not None


def topic_pattern(key: str) -> str:
    """The key of a binding to a topic exchange as a regular expression: kombu's, because Celery's workers and canvas'
    share the bindings in Redis, each of which is kept with its expression."""
    return f"^{_DOT.join(_WILDCARDS.get(word) or ''.join(map(_escaped, word)) for word in key.split('.'))}$"


def _escaped(character: str) -> str:
    if character.isalnum() or character in "#*":
        return character
    return "\\000" if character == "\0" else f"\\{character}"
