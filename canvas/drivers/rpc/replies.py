"""The messages that carry results, and the options of the queues that take them."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from canvas.drivers.kombu_envelope import ENVELOPE
from canvas.errors import DecodeError
from canvas.model.message import Delivery, EncodedMessage
from canvas.model.settlement import ResultWrite


class RpcOptions(NamedTuple):
    """How results are sent."""

    queue: Callable[[], str]
    """Returns the name of this process's queue for replies."""
    named: Callable[[], bool] = lambda: True
    """Whether this process has named its queue in a message."""
    content_type: str = "application/json"
    """The content type of the records."""
    content_encoding: str = "utf-8"
    persistent: bool = False
    """Whether results outlive a restart of RabbitMQ."""
    expires: int | None = 86_400
    """Seconds for which a queue is kept without use, and a result in it; ``None``: without an end."""

    @property
    def delivery_mode(self) -> int:
        """AMQP's number for ``persistent``."""
        return 2 if self.persistent else 1

    def addressed(self, stores: Sequence[ResultWrite], delivery: Delivery | None) -> list[tuple[str, ResultWrite]]:
        """The records that are sent, each after its queue: the one that it names, or that of the sender of
        ``delivery``."""
        if not stores:
            return []
        reply_to = _reply_to_of(delivery)
        return [(queue, store) for store in stores if (queue := store.reply_to or reply_to)]

    def envelope(self, store: ResultWrite, queue: str) -> bytes:
        """The message of a record, in kombu's envelope."""
        properties = {"correlation_id": store.task_id, "delivery_mode": self.delivery_mode, "priority": 0}
        message = EncodedMessage(store.payload, self.content_type, self.content_encoding, {}, properties)
        return ENVELOPE.encode(message, "", queue)


def _reply_to_of(delivery: Delivery | None) -> str:
    """The queue in which the sender of a message waits for the result; empty where it does not wait."""
    if delivery is None:
        return ""
    try:
        found = ENVELOPE.decode(delivery.payload).properties.get("reply_to")
    except DecodeError:
        return ""
    return found if isinstance(found, str) else ""
