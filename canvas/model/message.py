"""A task message as both protocols say it, and a delivery as a broker gives it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, final

from canvas.model.queue import Queue

Embed = dict[str, Any]
"""``{"callbacks", "errbacks", "chain", "chord"}``: a message's future (protocol.md §2.1)."""

LINKS_HEADER = "canvas_links"
"""The header with the embed in JSON, of a message whose body a worker may refuse or be unable to read."""
NO_EMBED: Embed = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}


@dataclass(slots=True)
class Message:
    """One task message, decoded.

    ``headers`` are protocol 2's, all of them, unknown and user keys included, whatever protocol the
    message came in. ``properties`` are the envelope's (correlation_id, reply_to, priority,
    delivery_info …). ``embed`` always has its four keys.
    """

    task: str
    id: str
    args: list[Any] | tuple[Any, ...]
    kwargs: dict[str, Any]
    embed: Embed = field(default_factory=lambda: dict(NO_EMBED))
    headers: dict[str, Any] = field(default_factory=dict)
    properties: dict[str, Any] = field(default_factory=dict)
    content_type: str = "application/json"
    protocol: int = 2


class EncodedMessage(NamedTuple):
    """A message whose body is serialised: what Celery puts on any wire, without the form that a broker gives it."""

    body: bytes
    """Serialised, and compressed where the header ``compression`` says so."""
    content_type: str
    content_encoding: str
    headers: dict[str, Any]
    properties: dict[str, Any]
    """``correlation_id``, ``reply_to``, ``delivery_mode``, ``priority`` and what else its sender gave; in a message
    that was received ``delivery_info`` too: exchange and routing key."""


@final
class Delivery(NamedTuple):
    """A message a worker holds the lease of."""

    tag: str
    """The lease: ``canvas:<worker id>:<n>``."""
    queue: str
    """The queue it was taken from, without priority step or prefix."""
    payload: bytes
    """The message in its broker's form, byte for byte as it lay in the queue."""
    leased_at: float = 0.0
    """When this process asked for it, or got it unasked, by its monotonic clock; 0 where it did neither."""


class Publish(NamedTuple):
    """One encoded message on its way to a queue."""

    exchange: str
    """``""`` addresses the queue named by ``routing_key`` directly."""
    routing_key: str
    priority: int
    """0 to 9; on Redis 0 is served first (protocol.md §1.2)."""
    payload: bytes
    """The message in its broker's form."""
    queue: Queue | None = None
    """The queue that it was routed to: its broker makes it, and binds it to its exchange, where it does not exist; not
    for a broadcast."""


class BuiltMessage(NamedTuple):
    """A message as bytes with their address."""

    id: str
    publish: Publish
    eta: str | None
    """When it is to run, in ISO 8601; ``None`` for at once."""
    make: Callable[[], Message]

    @property
    def message(self) -> Message:
        """The message itself, for those who listen; it is not to be changed any more."""
        return self.make()


def int_header(headers: Mapping[str, Any], name: str) -> int:
    """A header that counts; 0 where it is missing or no positive number, whichever program wrote it."""
    value = headers.get(name)
    return value if isinstance(value, int) and value > 0 else 0


def delivery_mode(value: Any) -> int:
    """AMQP's number of a delivery mode, given as number or name."""
    return int({"transient": 1, "persistent": 2}.get(str(value), value))
