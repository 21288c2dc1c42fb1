"""A message of a task with its address, as ``app.amqp.send_task_message`` sends it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from canvas.app.application import Canvas
from canvas.model.message import BuiltMessage, Message, delivery_mode
from canvas.producer.message_builder import MessageBuilder
from canvas.producer.routing import Route
from canvas.telemetry import emit
from canvas.wire.task_message import message_of


@dataclass(slots=True)
class Outgoing:
    """The parts of a message before it is serialised."""

    task: str
    headers: dict[str, Any]
    properties: dict[str, Any]
    body: Any
    route: Route
    delivery_mode: Any
    """AMQP's number or its name; ``None``: the setting ``task_default_delivery_mode``."""
    how: dict[str, Any]
    """``serializer``, ``compression``, ``retry`` and ``retry_policy``; ``None`` stands for the setting."""

    def message(self, app: Canvas) -> Message:
        """The message as canvas has it. Raises DecodeError and InvalidTaskError for parts that make no message."""
        message = message_of(self.headers, self.body)
        mode = self.delivery_mode or app.conf.task_default_delivery_mode
        info = {"exchange": self.route.exchange, "routing_key": self.route.routing_key}
        message.properties = {
            "priority": 0, **self.properties, "delivery_mode": delivery_mode(mode), "delivery_info": info,
        }  # fmt: skip
        return message

    def send(self, app: Canvas) -> None:
        """Send it by the connection of the app. Raises EncodeError and OperationalError."""
        built = app.client.built(self.message(app), self.route, self.how)
        app.driver.broker.publish([built.publish], app.sender.delays(self.how, [built.message]))
        emit("message.published", message=built.message)


def kombu_publish(app: Canvas, producer: Any, outgoing: Outgoing, extra: Mapping[str, Any]) -> Any:
    """Send a message by a producer of kombu. Returns the result of ``producer.publish``.

    ``extra``: ``declare``, ``timeout`` and ``confirm_timeout`` of ``publish``. Without ``declare`` the queue of the
    message is declared.
    """
    conf, route, how = app.conf, outgoing.route, outgoing.how
    message = outgoing.message(app)
    policy = {**conf.task_publish_retry_policy, **(how["retry_policy"] or {})}
    declare = extra["declare"]
    if declare is None and route.queue is not None:
        declare = [app.amqp.queues[route.queue.name]]
    emit("message.publishing", message=message, queue=route.queue, retry_policy=policy)
    sent = producer.publish(
        outgoing.body, exchange=route.exchange, routing_key=route.routing_key,
        serializer=how["serializer"] or conf.task_serializer, compression=how["compression"] or conf.task_compression,
        retry=conf.task_publish_retry if how["retry"] is None else how["retry"], retry_policy=policy,
        delivery_mode=message.properties["delivery_mode"], headers=outgoing.headers,
        **{**extra, "declare": declare}, **outgoing.properties,
    )  # fmt: skip
    emit("message.published", message=message)
    return sent


class CollectingProducer:
    """Takes the messages that a program's ``send_task_message`` sends; canvas publishes them with the call."""

    def __init__(self, builder: MessageBuilder, usual: Message, options: Mapping[str, Any]) -> None:
        """``usual``: the message that canvas makes of the call, whose properties count where a program gives none;
        ``options``: those of the call."""
        self.built: list[BuiltMessage] = []
        self._builder = builder
        self._usual = usual
        self._options = options

    def take(self, outgoing: Outgoing) -> None:
        """Serialise a message. Raises EncodeError, and DecodeError for parts that make no message."""
        message = message_of(outgoing.headers, outgoing.body)
        info = {"exchange": outgoing.route.exchange, "routing_key": outgoing.route.routing_key}
        message.properties = {**self._usual.properties, **outgoing.properties, "delivery_info": info}
        if outgoing.delivery_mode is not None:
            message.properties["delivery_mode"] = delivery_mode(outgoing.delivery_mode)
        how = {name: value for name, value in outgoing.how.items() if value is not None}
        self.built.append(self._builder.built(message, outgoing.route, {**self._options, **how}))
