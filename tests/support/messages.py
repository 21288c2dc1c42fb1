"""Messages in kombu's envelope, as they lie in a queue of Redis or of the memory driver."""

from typing import Any

from canvas.drivers.kombu_envelope import ENVELOPE
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
