"""Reading and marking messages in the form in which their broker stores them."""

import json
from typing import Any

import msgspec

from canvas.drivers.ports.codec import MessageCodec
from canvas.model.message import int_header


def task_id_of(codec: MessageCodec, payload: bytes) -> str | None:
    """The task id in a message's headers, where one can be read at all."""
    task_id = codec.headers_of(payload).get("id")
    return task_id if isinstance(task_id, str) else None


def redelivered(codec: MessageCodec, payload: bytes, **headers: Any) -> bytes:
    """The message marked as delivered before, with ``headers`` added (protocol.md §1.4)."""
    return codec.with_headers(payload, headers, redelivered=True)


def loss_headers(codec: MessageCodec, payload: bytes, started: bool) -> dict[str, Any]:
    """The headers of a message whose worker died: how often it was delivered, and whether it was running.

    The first death counts for every message, then only those in which it was known to run.
    """
    before = delivery_count(codec, payload)
    count = before + 1 if started or before == 1 else before
    return {"canvas_delivery_count": count, **({"canvas_worker_lost": True} if started else {})}


def lost_before(codec: MessageCodec, payload: bytes, deliveries: int, started: bool) -> bytes:
    """A message that its broker delivers again because its worker died. ``deliveries``: how often it had been
    delivered. ``started``: whether it was running."""
    counted = redelivered(codec, payload, canvas_delivery_count=deliveries)
    return codec.with_headers(counted, loss_headers(codec, counted, started))


def requeued(codec: MessageCodec, payload: bytes, counts: bool) -> bytes:
    """A message that returns to its queue; ``counts``: as one of the deliveries whose number is limited."""
    if not counts:
        return redelivered(codec, payload)
    return redelivered(codec, payload, canvas_delivery_count=delivery_count(codec, payload) + 1)


def delivery_count(codec: MessageCodec, payload: bytes) -> int:
    """How often a message has been delivered, this time included."""
    return int_header(codec.headers_of(payload), "canvas_delivery_count") or 1


def as_new(codec: MessageCodec, payload: bytes) -> bytes:
    """A dead letter's message as it goes back into its queue: its count of deliveries begins again. Bytes that are
    not a task's message stay as they are."""
    if not task_id_of(codec, payload):
        return payload
    return redelivered(codec, payload, canvas_delivery_count=1, canvas_unregistered_retries=0)


def opened(record: bytes) -> tuple[str, str, bytes] | None:
    """Exchange, routing key (or queue) and envelope of an ``unacked`` record; ``None`` if the record is not one."""
    try:
        raw = [bytes(item) for item in msgspec.json.decode(record, type=list[msgspec.Raw])]
        envelope, exchange, key = raw[0], json.loads(raw[1]), json.loads(raw[2])
        return str(exchange or ""), str(key), envelope if envelope.startswith(b"{") else json.loads(envelope).encode()
    except (msgspec.MsgspecError, ValueError, IndexError, AttributeError):
        return _opened_by_stdlib(record)


def _opened_by_stdlib(record: bytes) -> tuple[str, str, bytes] | None:
    """Like ``opened``, for records that only the standard library reads: with NaN, infinities, or lone surrogates."""
    try:
        envelope, exchange, key = json.loads(record)
        text = envelope if isinstance(envelope, str) else json.dumps(envelope)
        return str(exchange or ""), str(key), text.encode("utf-8", "surrogatepass")
    except (ValueError, TypeError, RecursionError):
        return None
