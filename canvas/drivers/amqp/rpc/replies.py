"""Results as messages: the messages that a worker sends, and the options of the queues that take them."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from canvas.drivers.amqp.channels.publisher import Publication
from canvas.drivers.amqp.contents import Outgoing
from canvas.drivers.amqp.protocol.frames import Content
from canvas.drivers.kombu_envelope import ENVELOPE, new_delivery_tag
from canvas.errors import DecodeError
from canvas.model.message import Delivery, EncodedMessage
from canvas.model.settlement import ResultWrite


class RpcOptions(NamedTuple):
    """How results are sent."""

    queue: Callable[[], str]
    """Returns the name of this process's queue for replies."""
    content_type: str = "application/json"
    """The content type of the records."""
    content_encoding: str = "utf-8"
    persistent: bool = False
    """Whether results outlive a restart of RabbitMQ."""
    expires: int | None = 86_400
    """Seconds for which a queue is kept without use, and a result in it; ``None``: without an end."""

    def arguments(self) -> dict[str, Any]:
        """The arguments with which a queue for replies is declared."""
        if not self.expires:
            return {}
        return {"x-expires": self.expires * 1000, "x-message-ttl": self.expires * 1000}


def reply_to_of(delivery: Delivery | None) -> str:
    """The queue in which the sender of a message waits for the result; empty where it does not wait."""
    if delivery is None:
        return ""
    try:
        found = ENVELOPE.decode(delivery.payload).properties.get("reply_to")
    except DecodeError:
        return ""
    return found if isinstance(found, str) else ""


class Replies:
    """Makes the messages that carry records to their clients."""

    def __init__(self, options: RpcOptions) -> None:
        self._options = options
        self._delivery_mode = 2 if options.persistent else 1

    def outgoing(self, stores: Iterable[ResultWrite], reply_to: str) -> list[Outgoing]:
        """The messages, in the form of an outbox. Each goes to the queue that its record names, or to ``reply_to``."""
        return [
            Outgoing(new_delivery_tag(), "", queue, self._envelope(store, queue), mandatory=False)
            for store in stores
            if (queue := store.reply_to or reply_to)
        ]

    def _envelope(self, store: ResultWrite, queue: str) -> bytes:
        options = self._options
        properties = {"correlation_id": store.task_id, "delivery_mode": self._delivery_mode, "priority": 0}
        message = EncodedMessage(store.payload, options.content_type, options.content_encoding, {}, properties)
        return ENVELOPE.encode(message, "", queue)

    def publications(self, stores: Iterable[ResultWrite], reply_to: str = "") -> list[Publication]:
        """The same, ready to be published."""
        options = self._options
        return [
            Publication("", queue, Content({
                "content_type": options.content_type, "content_encoding": options.content_encoding,
                "application_headers": {}, "delivery_mode": self._delivery_mode, "priority": 0,
                "correlation_id": store.task_id,
            }, store.payload), mandatory=False)
            for store in stores
            if (queue := store.reply_to or reply_to)
        ]  # fmt: skip
