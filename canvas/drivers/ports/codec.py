"""The form in which a broker carries messages."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

from canvas.model.message import EncodedMessage
from canvas.wire.depth import MAX_DEPTH

FilledIn: TypeAlias = Callable[[bytes, Sequence[Any]], bytes]
"""Of a body, and a value for each mark, the bytes of a message. Raises EncodeError."""


class MessageCodec(Protocol):
    """Turns messages into the bytes that one broker stores, and back.

    Everything else passes these bytes on without reading them. A message is written before anything is committed, so
    that one which cannot be written is refused where it is sent.
    """

    def encode(self, message: EncodedMessage, exchange: str, routing_key: str, max_depth: int = MAX_DEPTH) -> bytes:
        """The bytes of a message that is sent to an exchange.

        Raises EncodeError for headers or properties that the broker cannot carry, or that are nested deeper than
        ``max_depth``.
        """

    def prepared(
        self, message: EncodedMessage, exchange: str, routing_key: str, marks: Sequence[str]
    ) -> "FilledIn | None":
        """Writes messages that differ from ``message`` in their body, and in the text in place of ``marks``, which
        are texts among its headers and properties. ``None`` where the codec has no quicker way than ``encode``.
        """

    def decode(self, payload: bytes, max_depth: int = MAX_DEPTH) -> EncodedMessage:
        """The message in bytes that came from the broker; its properties hold ``delivery_info``.

        Its headers say how often the message was delivered (``canvas_delivery_count``), where the broker counts.
        Raises DecodeError for bytes that are not a message.
        """

    def with_headers(self, payload: bytes, headers: Mapping[str, Any], redelivered: bool = False) -> bytes:
        """The same message with ``headers`` added, and marked as delivered before, where ``redelivered`` says so.

        Bytes that are not a message stay as they are.
        """

    def headers_of(self, payload: bytes) -> dict[str, Any]:
        """A message's headers, also where its body is damaged; empty where they cannot be read."""

    def priority_of(self, payload: bytes) -> Any:
        """A message's priority, as it was sent; 0 where it has none or it cannot be read."""
