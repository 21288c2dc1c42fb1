"""Messages of this driver, which are kombu's envelopes, as AMQP carries them: properties, headers and a body."""

from collections.abc import Mapping
from hashlib import sha1
from math import isfinite
from typing import Any, Final, NamedTuple

import msgpack

from canvas.drivers.amqp.delays.delay_queue import PREFIX
from canvas.drivers.amqp.protocol.frames import RAW, Content
from canvas.drivers.amqp.protocol.properties import NAMES
from canvas.drivers.kombu_envelope import ENVELOPE, message_id_of, new_delivery_tag
from canvas.errors import DecodeError, EncodeError
from canvas.model.message import EncodedMessage, Publish

_OF_THE_MESSAGE: Final = frozenset(
    {"content_type", "content_encoding", "application_headers", "message_id", "expiration"}
)
"""Properties that are not a task message's own. RabbitMQ drops a message with ``expiration`` silently, with the chord
or chain that waits for it; the header ``expires`` has the same time."""
_DEEPEST = 10_000
_DUE: Final = "canvas_due"
"""The header of a delayed message that says when it is due: the queues of delays return it at that time, or before."""
_DEATHS: Final = "x-death"
"""The header in which RabbitMQ lists the queues that a message has left because it expired or was rejected."""
_DELIVERIES: Final = "x-delivery-count"
"""The header in which a quorum queue says how often it has delivered a message before."""
DEAD: Final = "canvas_dead"
"""The header of a dead letter in RabbitMQ: reason, and unix time."""
_BROKERS_OWN: Final = frozenset({_DUE, _DEATHS, _DELIVERIES, DEAD})
_LATEST_DEATHS: Final = ("x-first-death-", "x-last-death-")
DELAY_QUEUES: Final = (PREFIX, "celery_delayed_")
"""The prefixes of the names of queues in which messages wait until they are due."""


class Outgoing(NamedTuple):
    """A message in an outbox."""

    message_id: str
    exchange: str
    routing_key: str
    payload: bytes
    due: float = 0.0
    """Unix time, by the clock of the state server, before which no worker gets the message; 0: at once."""
    headers: dict[str, Any] = {}
    """Headers that are not part of the task's message."""
    mandatory: bool = True
    """Whether its queue is made, if there is none."""

    @classmethod
    def of(cls, publish: Publish, due: float = 0.0) -> "Outgoing":
        """A message to be sent, under an id of its own: a copy of an earlier message is another message."""
        return cls(new_delivery_tag(), publish.exchange, publish.routing_key, publish.payload, due)

    def packed(self) -> bytes:
        """The message as an entry of an outbox."""
        return msgpack.packb(self)  # type: ignore[no-any-return]

    @classmethod
    def unpacked(cls, entry: bytes) -> "Outgoing":
        return cls(*msgpack.unpackb(entry))

    def content(self) -> Content:
        return self._with_own_headers(to_content(self.payload, self.message_id))

    def content_as_bytes(self) -> Content:
        """The message as bytes that only canvas reads: AMQP can carry them, whatever its properties and headers."""
        return self._with_own_headers(_as_bytes(self.payload, self.message_id))

    def _with_own_headers(self, content: Content) -> Content:
        own = {**self.headers, _DUE: self.due} if self.due else self.headers
        if own:
            headers = content.properties.get("application_headers") or {}
            content.properties["application_headers"] = {**headers, **own}
        return content


def to_content(payload: bytes, message_id: str = "") -> Content:
    """An envelope as AMQP carries it; ``message_id``: instead of the envelope's own. Other bytes are carried as they
    are."""
    try:
        message = ENVELOPE.decode(payload, _DEEPEST)
    except DecodeError:
        return _as_bytes(payload, message_id)
    given = message.properties
    properties: dict[str, Any] = {
        name: value for name, value in given.items() if name in NAMES and name not in _OF_THE_MESSAGE
    }
    priority = given.get("priority")
    properties |= {
        "content_type": message.content_type,
        "content_encoding": message.content_encoding,
        "application_headers": message.headers,
        "delivery_mode": given.get("delivery_mode") or 2,
        "priority": min(max(priority, 0), 255) if isinstance(priority, int) else 0,
        "message_id": message_id or given.get("delivery_tag") or new_delivery_tag(),
    }
    for name in ("correlation_id", "reply_to", "user_id", "app_id", "type"):
        if properties.get(name) is not None and not isinstance(properties[name], str):
            properties[name] = str(properties[name])
    return Content(properties, message.body)


def _as_bytes(payload: bytes, message_id: str) -> Content:
    # Its publisher finds it by the id, if RabbitMQ refuses or returns it.
    return Content({"type": RAW, "delivery_mode": 2, "message_id": message_id or new_delivery_tag()}, payload)


def from_amqp(message: Any) -> Content:
    """The content of a message that py-amqp has read."""
    return Content(
        dict(message.properties), message.body.encode() if isinstance(message.body, str) else bytes(message.body)
    )


def deliveries_of(content: Content, redelivered: bool) -> int:
    """How often a message was delivered before; 1 also where its queue does not count."""
    found = (content.properties.get("application_headers") or {}).get(_DELIVERIES)
    return max(found if isinstance(found, int) else 0, int(redelivered))


def due_of(content: Content) -> float:
    """When a message is due, unix time; 0 for a message that is not delayed."""
    found = (content.properties.get("application_headers") or {}).get(_DUE)
    return found if isinstance(found, float) and isfinite(found) else 0.0


def _headers_of(properties: Mapping[str, Any]) -> dict[str, Any]:
    """A message's headers, without those of delays and of this delivery. RabbitMQ drops a message that enters a queue
    twice by expiry, if its sender has kept the list of the queues."""
    headers: dict[str, Any] = properties.get("application_headers") or {}
    if _BROKERS_OWN.isdisjoint(headers):
        return headers
    deaths = headers.get(_DEATHS)
    found = {name: value for name, value in headers.items() if name not in _BROKERS_OWN}
    others = [one for one in deaths if not _is_delay(one)] if isinstance(deaths, list) else []
    if others:
        return {**found, _DEATHS: others}
    return {name: value for name, value in found.items() if not name.startswith(_LATEST_DEATHS)}


def _is_delay(death: Any) -> bool:
    return isinstance(death, dict) and str(death.get("queue")).startswith(DELAY_QUEUES)


def to_payload(content: Content, exchange: str, routing_key: str, queue: str = "") -> tuple[bytes, str, bool]:
    """The envelope of a message that came, its id, and whether its sender gave the id. ``queue``: the queue that got
    this copy of the message from an exchange. Each copy and each dead letter that returns has an id of its own."""
    properties, body = content.properties, content.body
    if properties.get("type") == RAW:
        return body, message_id_of(body), False
    own = properties.get("message_id")
    headers = _headers_of(properties)
    message_id = own or _derived_id(properties, headers, body)
    if queue:
        message_id = f"{message_id}@{queue}"
    if deaths := _deaths_of(headers):
        message_id = f"{message_id}~{deaths}"
    kept = {name: value for name, value in properties.items() if name not in _OF_THE_MESSAGE}
    message = EncodedMessage(
        body, properties.get("content_type") or "application/data", properties.get("content_encoding") or "binary",
        headers, kept,
    )  # fmt: skip
    try:
        payload = ENVELOPE.encode(message, exchange, routing_key, _DEEPEST, message_id)
    except EncodeError:
        return body, message_id_of(body), False
    return payload, message_id, own is not None


def _deaths_of(headers: Mapping[str, Any]) -> int:
    """How often a message was dead-lettered on its way here. Each time it is a message of its own, which is to run."""
    deaths = headers.get(_DEATHS)
    counts = [one.get("count") for one in deaths if isinstance(one, dict)] if isinstance(deaths, list) else []
    return sum(count for count in counts if isinstance(count, int))


def _derived_id(properties: dict[str, Any], headers: dict[str, Any], body: bytes) -> str:
    """An id for a message without one. It is the same each time the broker delivers the message."""
    words = (properties.get("correlation_id"), headers.get("id"), headers.get("retries"), headers.get("eta"))
    return sha1(repr(words).encode("utf-8", "surrogatepass") + body, usedforsecurity=False).hexdigest()
