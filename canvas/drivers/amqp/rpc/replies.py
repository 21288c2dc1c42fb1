"""The messages with which a worker sends results by RabbitMQ."""

from collections.abc import Sequence

from canvas.drivers.amqp.channels.publisher import Publication
from canvas.drivers.amqp.contents import Outgoing
from canvas.drivers.amqp.protocol.frames import Content
from canvas.drivers.kombu_envelope import new_delivery_tag
from canvas.drivers.rpc.replies import RpcOptions
from canvas.model.message import Delivery
from canvas.model.settlement import ResultWrite


class Replies:
    """Makes the messages that carry records to their clients, as ``RpcOptions.addressed`` addresses them."""

    def __init__(self, options: RpcOptions) -> None:
        self._options = options

    def outgoing(self, stores: Sequence[ResultWrite], delivery: Delivery | None) -> list[Outgoing]:
        """The messages, in the form of an outbox."""
        return [
            Outgoing(new_delivery_tag(), "", queue, self._options.envelope(store, queue), mandatory=False)
            for queue, store in self._options.addressed(stores, delivery)
        ]

    def publications(self, stores: Sequence[ResultWrite], delivery: Delivery | None = None) -> list[Publication]:
        """The same, ready to be published."""
        options = self._options
        return [
            Publication("", queue, Content({
                "content_type": options.content_type, "content_encoding": options.content_encoding,
                "application_headers": {}, "delivery_mode": options.delivery_mode, "priority": 0,
                "correlation_id": store.task_id,
            }, store.payload), mandatory=False)
            for queue, store in options.addressed(stores, delivery)
        ]  # fmt: skip
