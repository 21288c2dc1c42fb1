"""A queue, and how exchanges reach it."""

import re
from typing import Any, Final, NamedTuple

OWN_QUEUE: Final = "canvas:fanout:"
"""The start of the name of a queue that one node has for itself: the queue goes with the node."""
_DOT = r"\."
_WILDCARDS = {"*": r"[^\.]+", "#": r".*?"}


class Exchange(NamedTuple):
    """An exchange, as RabbitMQ makes it."""

    name: str
    type: str = "direct"
    durable: bool = True
    auto_delete: bool = False
    arguments: dict[str, Any] | None = None
    no_declare: bool = False
    """Whether it is left to others to make it."""


class Binding(NamedTuple):
    """One way by which an exchange reaches a queue."""

    exchange: Exchange
    routing_key: str = ""
    arguments: dict[str, Any] | None = None

    def takes(self, routing_key: str) -> bool:
        """Whether the exchange gives the queue a message with this routing key."""
        if self.exchange.type == "fanout":
            return True
        if self.exchange.type != "topic":
            return self.routing_key == routing_key
        return re.match(topic_pattern(self.routing_key), routing_key) is not None


class Declaration(NamedTuple):
    """How RabbitMQ makes a queue and its exchange, beside their names and the queue's arguments."""

    durable: bool = True
    auto_delete: bool = False
    exclusive: bool = False
    no_declare: bool = False
    """Whether it is left to others to make the queue, its exchange and the bindings."""
    alias: str = ""
    """Another name by which calls and options find the queue."""
    consumer_arguments: dict[str, Any] | None = None
    exchange_durable: bool = True
    exchange_auto_delete: bool = False
    exchange_arguments: dict[str, Any] | None = None
    exchange_no_declare: bool = False
    binding_arguments: dict[str, Any] | None = None
    is_broadcast: bool = False
    """Whether each worker has a queue of its own under the alias: clients make none."""
    bindings: tuple[Binding, ...] = ()
    """How the queue is reached instead of by its exchange and routing key."""


PLAIN: Final = Declaration()
DEFAULT_EXCHANGE: Final = {name: value for name, value in PLAIN._asdict().items() if name.startswith("exchange_")}
"""The fields that say how an exchange is made that nothing is said of."""


class Queue(NamedTuple):
    """``exchange`` and ``routing_key`` left empty are the queue's own name (protocol.md §1.7)."""

    name: str
    exchange: str = ""
    routing_key: str = ""
    exchange_type: str = "direct"
    arguments: dict[str, Any] | None = None
    declaration: Declaration = PLAIN

    def filled(self) -> "Queue":
        """With exchange and routing key spelled out."""
        return self._replace(exchange=self.exchange or self.name, routing_key=self.routing_key or self.name)

    def ways(self) -> tuple[Binding, ...]:
        """The bindings that it is made with."""
        about = self.declaration
        if about.bindings:
            return about.bindings
        exchange = Exchange(
            self.exchange or self.name, self.exchange_type, about.exchange_durable, about.exchange_auto_delete,
            about.exchange_arguments, about.exchange_no_declare,
        )  # fmt: skip
        return (Binding(exchange, self.routing_key or self.name, about.binding_arguments),)

    def of_clients(self) -> "Queue | None":
        """The queue; ``None`` for a broadcast, for which only workers make queues."""
        return None if self.declaration.is_broadcast else self

    def is_fanout(self, exchange: str | None = None) -> bool:
        """Whether a fanout exchange, or the one of this name, gives it copies."""
        return any(way.exchange.type == "fanout" and exchange in (None, way.exchange.name) for way in self.ways())

    def takes(self, exchange: str, routing_key: str) -> bool:
        """Whether an exchange gives it a message with this routing key."""
        return any(way.exchange.name == exchange and way.takes(routing_key) for way in self.ways())


def topic_pattern(key: str) -> str:
    """The key of a binding to a topic exchange as a regular expression: kombu's, because Celery's workers and canvas'
    share the bindings in Redis, each of which is kept with its expression."""
    return f"^{_DOT.join(_WILDCARDS.get(word) or ''.join(map(_escaped, word)) for word in key.split('.'))}$"


def _escaped(character: str) -> str:
    if character.isalnum() or character in "#*":
        return character
    return "\\000" if character == "\0" else f"\\{character}"
