"""Frames of AMQP 0-9-1 that a worker and a client use for each message: written and read here, without any I/O.

py-amqp does everything rare (connecting, declaring, binding). For the same values these functions write the same bytes.
"""

import struct
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from canvas.drivers.amqp.protocol.properties import read_properties, read_text, short_text, write_properties
from canvas.errors import DecodeError, EncodeError

HEARTBEAT: Final = b"\x08\x00\x00\x00\x00\x00\x00\xce"
FRAME_MAX: Final = 131_072
"""The ``frame_max`` that a broker proposes by default, in bytes."""
RAW: Final = "canvas.raw"
"""The property ``type`` of bytes that are not the message of a task, or whose properties cannot be read."""
_END: Final = 0xCE
_METHOD, _HEADER, _BODY, _HEARTBEAT = 1, 2, 3, 8
_RETURN, _DELIVER, _GET_OK, _ACK, _NACK, _COMMIT_OK = (60, 50), (60, 60), (60, 71), (60, 80), (60, 120), (90, 21)


class Content(NamedTuple):
    """A message: its properties by py-amqp's names, headers as ``application_headers``, and its body."""

    properties: dict[str, Any]
    body: bytes
    written: bytes | None = None
    """The properties as bytes, where they are written already."""


class Delivered(NamedTuple):
    """``basic.deliver``: a message for a consumer of this channel."""

    channel: int
    consumer_tag: str
    tag: int
    redelivered: bool
    exchange: str
    routing_key: str
    content: Content


class Got(NamedTuple):
    """``basic.get-ok``: a message that was asked for."""

    channel: int
    left: int
    """Messages in the queue behind it."""
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


Event = Delivered | Got | Returned | Confirmed | Committed | OtherMethod


def publish(
    channel: int, exchange: str, routing_key: str, content: Content, mandatory: bool = True, frame_max: int = FRAME_MAX
) -> bytes:
    """The frames of ``basic.publish``. ``frame_max``: the largest frame that the connection has agreed on, in bytes.

    Raises EncodeError for a property that AMQP does not have or a value that it cannot write.
    """
    arguments = b"".join((b"\x00\x00", short_text("exchange", exchange), short_text("routing key", routing_key)))
    if content.written is None or len(content.written) > frame_max - 20:
        content = written(content, frame_max)
    properties, body = content.written, content.body
    assert properties is not None
    frames = [
        frame(_METHOD, channel, b"\x00\x3c\x00\x28", arguments, b"\x01" if mandatory else b"\x00"),
        frame(_HEADER, channel, struct.pack(">HHQ", 60, 0, len(body)), properties),
    ]
    step = frame_max - 8
    frames += [frame(_BODY, channel, body[start : start + step]) for start in range(0, len(body), step)]
    return b"".join(frames)


def written(content: Content, frame_max: int = FRAME_MAX) -> Content:
    """The content with its properties as bytes, which ``publish`` uses. Raises EncodeError, as that does."""
    found = write_properties(content.properties)
    if 12 + len(found) > frame_max - 8:
        size = f"{len(found):,} bytes; the broker takes {frame_max - 20:,}"
        raise EncodeError(f"the headers and properties of the message have {size}: put large values into its arguments")
    return content._replace(written=found)


def ack(channel: int, tag: int, multiple: bool = False) -> bytes:
    """``basic.ack`` of a delivery; ``multiple``: and of all before it."""
    return frame(_METHOD, channel, struct.pack(">HHQB", 60, 80, tag, multiple))


def nack(channel: int, tag: int, multiple: bool = False, requeue: bool = True) -> bytes:
    """``basic.nack`` of a delivery; ``multiple``: and of all before it."""
    return frame(_METHOD, channel, struct.pack(">HHQB", 60, 120, tag, multiple | requeue << 1))


def commit(channel: int) -> bytes:
    """``tx.commit``."""
    return frame(_METHOD, channel, b"\x00\x5a\x00\x14")


class FrameReader:
    """Turns the bytes of a connection into events. One reader serves all channels of the connection."""

    def __init__(self, frame_max: int = FRAME_MAX) -> None:
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
                raise DecodeError(
                    f"unexpected frame of type {kind}: channel {channel} has no message that it belongs to"
                )
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
        if number in (_DELIVER, _GET_OK, _RETURN):
            self._unfinished[channel] = _Unfinished(channel, number, payload)
            return None
        if number in (_ACK, _NACK):
            tag, bits = struct.unpack_from(">QB", payload, 4)
            return Confirmed(channel, tag, bool(bits & 1), number == _ACK)
        if number == _COMMIT_OK:
            return Committed(channel)
        return OtherMethod(channel, (number[0], number[1]), payload[4:])


class _Unfinished:
    """A message whose frames have not all come."""

    def __init__(self, channel: int, number: tuple[int, ...], method: bytes) -> None:
        self.channel = channel
        self.number = number
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
        try:
            self.properties = read_properties(payload, 12)
        except (DecodeError, struct.error, IndexError):
            # The frames around it are whole. The connection would be lost again each time that the message came.
            self.properties = {"type": RAW}

    def part(self, payload: bytes) -> None:
        if self.properties is None or len(payload) > self.left:
            raise DecodeError("a message's body is longer than its header says, or comes before it")
        self.parts.append(payload)
        self.left -= len(payload)

    def event(self) -> Delivered | Got | Returned:
        content = Content(self.properties or {}, b"".join(self.parts))
        if self.number == _GET_OK:
            tag, redelivered = struct.unpack_from(">QB", self.method, 4)
            exchange, at = read_text(self.method, 13)
            routing_key, at = read_text(self.method, at)
            (left,) = struct.unpack_from(">I", self.method, at)
            return Got(self.channel, left, tag, bool(redelivered & 1), exchange, routing_key, content)
        if self.number == _DELIVER:
            consumer, at = read_text(self.method, 4)
            tag, redelivered = struct.unpack_from(">QB", self.method, at)
            exchange, at = read_text(self.method, at + 9)
            routing_key, _ = read_text(self.method, at)
            return Delivered(self.channel, consumer, tag, bool(redelivered & 1), exchange, routing_key, content)
        (code,) = struct.unpack_from(">H", self.method, 4)
        reason, at = read_text(self.method, 6)
        exchange, at = read_text(self.method, at)
        routing_key, _ = read_text(self.method, at)
        return Returned(self.channel, code, reason, exchange, routing_key, content)


def method_frame(channel: int, class_id: int, method_id: int, *arguments: bytes) -> bytes:
    """A method with its arguments."""
    return frame(_METHOD, channel, struct.pack(">HH", class_id, method_id), *arguments)


def frame(kind: int, channel: int, *parts: bytes) -> bytes:
    """A frame of any type."""
    payload = b"".join(parts)
    return b"".join((struct.pack(">BHI", kind, channel, len(payload)), payload, b"\xce"))
