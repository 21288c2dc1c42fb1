"""The messages with which a worker sends results by RabbitMQ."""

from collections.abc import Iterable

from canvas.drivers.amqp.channels.publisher import Publication
from canvas.drivers.amqp.contents import Outgoing
from canvas.drivers.amqp.protocol.frames import Content
from canvas.drivers.kombu_envelope import new_delivery_tag
from canvas.drivers.rpc.replies import RpcOptions
from canvas.model.settlement import ResultWrite


class Replies:
    """Makes the messages that carry records to their clients."""

    def __init__(self, options: RpcOptions) -> None:
        self._options = options

    def outgoing(self, stores: Iterable[ResultWrite], reply_to: str) -> list[Outgoing]:
        """The messages, in the form of an outbox. Each goes to the queue that its record names, or to ``reply_to``."""
        return [
            Outgoing(new_delivery_tag(), "", queue, self._options.envelope(store, queue), mandatory=False)
            for store in stores
            if (queue := store.reply_to or reply_to)
        ]

    def publications(self, stores: Iterable[ResultWrite], reply_to: str = "") -> list[Publication]:
        """The same, ready to be published."""
        options = self._options
        return [
            Publication("", queue, Content({
                "content_type": options.content_type, "content_encoding": options.content_encoding,
                "application_headers": {}, "delivery_mode": options.delivery_mode, "priority": 0,
                "correlation_id": store.task_id,
            }, store.payload), mandatory=False)
            for store in stores
            if (queue := store.reply_to or reply_to)
        ]  # fmt: skip
