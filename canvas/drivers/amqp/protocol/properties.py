"""Properties of AMQP 0-9-1 messages, and the short texts of its methods."""

import struct
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from canvas.drivers.amqp.protocol.tables import read_table, write_table
from canvas.errors import DecodeError, EncodeError

_PROPERTIES: Final = (
    ("content_type", 0x8000, "text"), ("content_encoding", 0x4000, "text"), ("application_headers", 0x2000, "table"),
    ("delivery_mode", 0x1000, "octet"), ("priority", 0x0800, "octet"), ("correlation_id", 0x0400, "text"),
    ("reply_to", 0x0200, "text"), ("expiration", 0x0100, "text"), ("message_id", 0x0080, "text"),
    ("timestamp", 0x0040, "time"), ("type", 0x0020, "text"), ("user_id", 0x0010, "text"), ("app_id", 0x0008, "text"),
    ("cluster_id", 0x0004, "text"),
)  # fmt: skip
NAMES: Final = frozenset(name for name, _, _ in _PROPERTIES)


def short_text(what: str, value: str) -> bytes:
    """A text with its length in one byte. Raises EncodeError for one that is too long; ``what`` names it."""
    data = value.encode("utf-8", "surrogatepass")
    if len(data) > 255:
        raise EncodeError(f"the {what} of a message has {len(data)} bytes, and AMQP allows 255: {value!r:.80}")
    return bytes((len(data),)) + data


def read_text(data: bytes, at: int) -> tuple[str, int]:
    """The text that begins at ``at``, and the position after it. Raises DecodeError."""
    end = at + 1 + data[at]
    if end > len(data):
        raise DecodeError("a text is longer than its frame")
    return data[at + 1 : end].decode("utf-8", "replace"), end


def write_properties(properties: Mapping[str, Any]) -> bytes:
    """The properties of a message, headers among them. Raises EncodeError; the message names the property."""
    unknown = properties.keys() - NAMES
    if unknown:
        raise EncodeError(f"AMQP has no property {min(unknown)!r:.80}; it has {', '.join(sorted(NAMES))}")
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
    return short_text(name, value)


def read_properties(data: bytes, at: int) -> dict[str, Any]:
    """The properties that begin at ``at``. Raises DecodeError, struct.error and IndexError for other bytes."""
    (flags,) = struct.unpack_from(">H", data, at)
    at += 2
    found: dict[str, Any] = {}
    for name, flag, kind in _PROPERTIES:
        if not flags & flag:
            continue
        if kind == "text":
            found[name], at = read_text(data, at)
        elif kind == "table":
            found[name], at = read_table(data, at)
        elif kind == "octet":
            found[name] = data[at]
            at += 1
        else:
            (found[name],) = struct.unpack_from(">Q", data, at)
            at += 8
    return found
