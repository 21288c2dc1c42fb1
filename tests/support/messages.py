"""Messages in kombu's envelope, as they lie in a queue of Redis or of the memory driver."""

from typing import Any

from canvas import Canvas
from canvas.drivers.kombu_envelope import ENVELOPE
from canvas.drivers.ports.values import Lease
from canvas.model.message import Message
from canvas.wire import task_message
from canvas.wire.depth import MAX_DEPTH


def encode(message: Message, **options: Any) -> bytes:
    """``task_message.encode``, and the envelope around it; its address is the message's ``delivery_info``."""
    info = message.properties.get("delivery_info") or {}
    encoded = task_message.encode(message, **options)
    return ENVELOPE.encode(
        encoded, info.get("exchange", ""), info.get("routing_key", ""), options.get("max_depth", MAX_DEPTH)
    )


def decode(payload: bytes, **options: Any) -> Message:
    """The message in an envelope, read with the options of ``task_message.decode``."""
    return task_message.decode(ENVELOPE.decode(payload, options.get("max_depth", MAX_DEPTH)), **options)


def payloads(app: Canvas, queue: str = "celery") -> list[bytes]:
    """The messages in a queue, which then has none."""
    found = []
    while delivery := next(iter(app.driver.broker.lease(Lease("w", [queue], 1, 30.0))), None):
        found.append(delivery.payload)
    return found


def sent(app: Canvas, queue: str = "celery") -> list[Message]:
    """``payloads``, decoded."""
    return [decode(payload, accept=("json",)) for payload in payloads(app, queue)]
