"""Frames of AMQP 0-9-1 that a worker and a client use for each message: written and read here, without any I/O.

py-amqp does everything rare (connecting, declaring, binding). For the same values these functions write the same bytes.
"""

import struct
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from canvas.drivers.amqp.tables import read_table, write_table
from canvas.errors import DecodeError, EncodeError

HEARTBEAT: Final = b"\x08\x00\x00\x00\x00\x00\x00\xce"
FRAME_MIN: Final = 4096
"""The smallest ``frame_max`` that the protocol allows, in bytes."""
_END: Final = 0xCE
_METHOD, _HEADER, _BODY, _HEARTBEAT = 1, 2, 3, 8
_RETURN, _DELIVER, _ACK, _NACK, _COMMIT_OK = (60, 50), (60, 60), (60, 80), (60, 120), (90, 21)
_PROPERTIES: Final = (
    ("content_type", 0x8000, "text"), ("content_encoding", 0x4000, "text"), ("application_headers", 0x2000, "table"),
    ("delivery_mode", 0x1000, "octet"), ("priority", 0x0800, "octet"), ("correlation_id", 0x0400, "text"),
    ("reply_to", 0x0200, "text"), ("expiration", 0x0100, "text"), ("message_id", 0x0080, "text"),
    ("timestamp", 0x0040, "time"), ("type", 0x0020, "text"), ("user_id", 0x0010, "text"), ("app_id", 0x0008, "text"),
    ("cluster_id", 0x0004, "text"),
)  # fmt: skip
_NAMES: Final = frozenset(name for name, _, _ in _PROPERTIES)


class Content(NamedTuple):
    """A message: its properties by py-amqp's names, headers as ``application_headers``, and its body."""

    properties: dict[str, Any]
    body: bytes


class Delivered(NamedTuple):
    """``basic.deliver``: a message for a consumer of this channel."""

    channel: int
    consumer_tag: str
    tag: int
    redelivered: bool
    exchange: str
    routing_key: str
    content: Content


class Returned(NamedTuple):
    """``basic.return``: a mandatory message that no queue took."""

    channel: int
    code: int
    reason: str
    exchange: str
    routing_key: str
    content: Content


class Confirmed(NamedTuple):
    """``basic.ack`` or ``basic.nack`` of published messages."""

    channel: int
    tag: int
    multiple: bool
    accepted: bool


class Committed(NamedTuple):
    """``tx.commit-ok``."""

    channel: int


class OtherMethod(NamedTuple):
    """A method that is not read here, with its arguments as they came."""

    channel: int
    number: tuple[int, int]
    arguments: bytes


Event = Delivered | Returned | Confirmed | Committed | OtherMethod


def publish(
    channel: int, exchange: str, routing_key: str, content: Content, mandatory: bool = True, frame_max: int = 131_072
) -> bytes:
    """The frames of ``basic.publish``. ``frame_max``: what the connection has agreed on, in bytes, at least FRAME_MIN.

    Raises EncodeError for a property that AMQP does not have or a value that it cannot write.
    """
    arguments = b"".join((b"\x00\x00", _text("exchange", exchange), _text("routing key", routing_key)))
    properties, body = _write_properties(content.properties), content.body
    if 12 + len(properties) > frame_max - 8:
        size = f"{len(properties):,} bytes; the broker takes {frame_max - 20:,}"
        raise EncodeError(f"the headers and properties of the message have {size}: put large values into its arguments")
    frames = [
        _frame(_METHOD, channel, b"\x00\x3c\x00\x28", arguments, b"\x01" if mandatory else b"\x00"),
        _frame(_HEADER, channel, struct.pack(">HHQ", 60, 0, len(body)), properties),
    ]
    step = frame_max - 8
    frames += [_frame(_BODY, channel, body[start : start + step]) for start in range(0, len(body), step)]
    return b"".join(frames)


def ack(channel: int, tag: int, multiple: bool = False) -> bytes:
    """``basic.ack`` of a delivery; ``multiple``: and of all before it."""
    return _frame(_METHOD, channel, struct.pack(">HHQB", 60, 80, tag, multiple))


def nack(channel: int, tag: int, multiple: bool = False, requeue: bool = True) -> bytes:
    """``basic.nack`` of a delivery; ``multiple``: and of all before it."""
    return _frame(_METHOD, channel, struct.pack(">HHQB", 60, 120, tag, multiple | requeue << 1))


def commit(channel: int) -> bytes:
    """``tx.commit``."""
    return _frame(_METHOD, channel, b"\x00\x5a\x00\x14")


class FrameReader:
    """Turns the bytes of a connection into events. One reader serves all channels of the connection."""

    def __init__(self, frame_max: int = 131_072) -> None:
        self._frame_max = frame_max
        self._left = b""
        self._unfinished: dict[int, _Unfinished] = {}

    def feed(self, data: bytes) -> Iterator[Event]:
        """The events that ``data`` completes, in order; an incomplete frame waits for the next call.

        Raises DecodeError for bytes that are not AMQP. The connection cannot be used after it.
        """
        buffer = self._left + data if self._left else data
        self._left, position = b"", 0
        while position + 8 <= len(buffer):
            kind, channel, size = struct.unpack_from(">BHI", buffer, position)
            if size > self._frame_max - 8:
                raise DecodeError(f"a frame of {size} bytes; the connection has agreed on {self._frame_max}")
            start, end = position + 7, position + 7 + size
            if end >= len(buffer):
                break
            if buffer[end] != _END:
                raise DecodeError(f"a frame ends with {buffer[end]:#x} instead of {_END:#x}")
            position = end + 1
            event = self._event(kind, channel, buffer[start:end])
            if event is not None:
                yield event
        self._left = buffer[position:]

    def _event(self, kind: int, channel: int, payload: bytes) -> Event | None:
        try:
            if kind == _METHOD:
                return self._method(channel, payload)
            if kind == _HEARTBEAT:
                return None
            if channel not in self._unfinished or kind not in (_HEADER, _BODY):
                raise DecodeError(f"a frame of type {kind} that no message of channel {channel} expects")
            unfinished = self._unfinished[channel]
            unfinished.header(payload) if kind == _HEADER else unfinished.part(payload)
            if unfinished.missing:
                return None
            del self._unfinished[channel]
            return unfinished.event()
        except (struct.error, IndexError) as exc:
            raise DecodeError(f"a frame of type {kind}, or the method before it, is too short: {exc}") from exc

    def _method(self, channel: int, payload: bytes) -> Event | None:
        if channel in self._unfinished:
            raise DecodeError(f"a method on channel {channel} in the middle of a message")
        number = struct.unpack_from(">HH", payload)
        if number in (_DELIVER, _RETURN):
            self._unfinished[channel] = _Unfinished(channel, number == _DELIVER, payload)
            return None
        if number in (_ACK, _NACK):
            tag, bits = struct.unpack_from(">QB", payload, 4)
            return Confirmed(channel, tag, bool(bits & 1), number == _ACK)
        if number == _COMMIT_OK:
            return Committed(channel)
        return OtherMethod(channel, (number[0], number[1]), payload[4:])


class _Unfinished:
    """A message whose frames have not all come."""

    def __init__(self, channel: int, delivered: bool, method: bytes) -> None:
        self.channel = channel
        self.delivered = delivered
        self.method = method
        self.properties: dict[str, Any] | None = None
        self.parts: list[bytes] = []
        self.left = 0

    @property
    def missing(self) -> bool:
        return self.properties is None or self.left > 0

    def header(self, payload: bytes) -> None:
        if self.properties is not None:
            raise DecodeError("a second header of one message")
        (self.left,) = struct.unpack_from(">Q", payload, 4)
        self.properties = _read_properties(payload, 12)

    def part(self, payload: bytes) -> None:
        if self.properties is None or len(payload) > self.left:
            raise DecodeError("a message's body is longer than its header says, or comes before it")
        self.parts.append(payload)
        self.left -= len(payload)

    def event(self) -> Delivered | Returned:
        content = Content(self.properties or {}, b"".join(self.parts))
        if self.delivered:
            consumer, at = _read_text(self.method, 4)
            tag, redelivered = struct.unpack_from(">QB", self.method, at)
            exchange, at = _read_text(self.method, at + 9)
            routing_key, _ = _read_text(self.method, at)
            return Delivered(self.channel, consumer, tag, bool(redelivered & 1), exchange, routing_key, content)
        (code,) = struct.unpack_from(">H", self.method, 4)
        reason, at = _read_text(self.method, 6)
        exchange, at = _read_text(self.method, at)
        routing_key, _ = _read_text(self.method, at)
        return Returned(self.channel, code, reason, exchange, routing_key, content)


def _frame(kind: int, channel: int, *parts: bytes) -> bytes:
    payload = b"".join(parts)
    return b"".join((struct.pack(">BHI", kind, channel, len(payload)), payload, b"\xce"))


def _text(what: str, value: str) -> bytes:
    data = value.encode("utf-8", "surrogatepass")
    if len(data) > 255:
        raise EncodeError(f"the {what} of a message has {len(data)} bytes, and AMQP allows 255: {value!r:.80}")
    return bytes((len(data),)) + data


def _read_text(data: bytes, at: int) -> tuple[str, int]:
    end = at + 1 + data[at]
    if end > len(data):
        raise DecodeError("a text is longer than its frame")
    return data[at + 1 : end].decode("utf-8", "replace"), end


def _write_properties(properties: Mapping[str, Any]) -> bytes:
    unknown = properties.keys() - _NAMES
    if unknown:
        raise EncodeError(f"AMQP has no property {min(unknown)!r:.80}; it has {', '.join(sorted(_NAMES))}")
    flags, parts = 0, [b""]
    for name, flag, kind in _PROPERTIES:
        value = properties.get(name)
        if value is not None:
            flags |= flag
            parts.append(_property(name, kind, value))
    parts[0] = struct.pack(">H", flags)
    return b"".join(parts)


def _property(name: str, kind: str, value: Any) -> bytes:
    if kind == "table":
        return write_table(value)
    try:
        if kind == "octet":
            return struct.pack(">B", value)
        if kind == "time":
            whole = int(value.replace(tzinfo=value.tzinfo or UTC).timestamp()) if isinstance(value, datetime) else value
            return struct.pack(">Q", whole)
    except struct.error:
        raise EncodeError(f"the property {name} of a message cannot be {value!r:.80}") from None
    if not isinstance(value, str):
        raise EncodeError(f"the property {name} of a message must be text; got {value!r:.80}")
    return _text(name, value)


def _read_properties(data: bytes, at: int) -> dict[str, Any]:
    (flags,) = struct.unpack_from(">H", data, at)
    at += 2
    found: dict[str, Any] = {}
    for name, flag, kind in _PROPERTIES:
        if not flags & flag:
            continue
        if kind == "text":
            found[name], at = _read_text(data, at)
        elif kind == "table":
            found[name], at = read_table(data, at)
        elif kind == "octet":
            found[name] = data[at]
            at += 1
        else:
            (found[name],) = struct.unpack_from(">Q", data, at)
            at += 8
    return found
