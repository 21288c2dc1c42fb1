"""Tables of AMQP 0-9-1, with RabbitMQ's letters for types: the headers of messages."""

import struct
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from math import isfinite
from typing import Any, Final

from canvas.errors import DecodeError, EncodeError

DEEPEST: Final = 64
"""Levels of tables and arrays in one another that are read and written."""
_NUMBERS: Final = {
    "b": ">b", "B": ">B", "s": ">h", "U": ">h", "u": ">H", "I": ">i", "i": ">I", "L": ">q", "l": ">q", "f": ">f",
    "d": ">d",
}  # fmt: skip
_KNOWN_NAMES: Final[dict[str, bytes]] = {}
"""Names that have been written; those of messages are mostly the same."""
_MOST_NAMES: Final = 1000
_EPOCH: Final = datetime(1970, 1, 1)


def write_table(values: Mapping[str, Any], level: int = 0) -> bytes:
    """A table with its length. Raises EncodeError for a value that AMQP has no type for; the message names its key."""
    parts: list[bytes] = []
    for key, value in values.items():
        parts += (_KNOWN_NAMES.get(key) or _named(key), _write(key, value, level))
    return _sized(b"".join(parts))


def _named(key: Any) -> bytes:
    """The name of a value, with its length."""
    name = str(key).encode("utf-8", "surrogatepass")
    if len(name) > 255:
        raise EncodeError(f"the name of a header has {len(name)} bytes, and AMQP allows 255: {key!r:.80}")
    found = bytes((len(name),)) + name
    if len(_KNOWN_NAMES) < _MOST_NAMES and type(key) is str:
        _KNOWN_NAMES[key] = found
    return found


def _write(key: str, value: Any, level: int) -> bytes:
    if isinstance(value, str):
        return b"S" + _sized(value.encode("utf-8", "surrogatepass"))
    if value is None:
        return b"V"
    if isinstance(value, bool):
        return b"t\x01" if value else b"t\x00"
    if isinstance(value, int):
        return _write_integer(key, value)
    if isinstance(value, float) and isfinite(value):
        return struct.pack(">cd", b"d", value)
    if isinstance(value, bytes):
        return b"S" + _sized(value)
    if level >= DEEPEST:
        raise EncodeError(f"header {key!r:.80}: more than {DEEPEST} levels of lists and mappings")
    if isinstance(value, Mapping):
        return b"F" + write_table(value, level + 1)
    if isinstance(value, Sequence):
        return b"A" + _sized(b"".join(_write(key, one, level + 1) for one in value))
    return _write_rare(key, value)


def _write_integer(key: str, value: int) -> bytes:
    if -2147483647 <= value <= 2147483647:
        return struct.pack(">ci", b"I", value)
    if -(2**63) <= value < 2**63:
        return struct.pack(">cq", b"L", value)
    raise EncodeError(f"header {key!r:.80}: AMQP's integers have 64 bits; got one of {value.bit_length()}")


def _write_rare(key: str, value: Any) -> bytes:
    if isinstance(value, datetime):
        seconds = int(value.replace(tzinfo=value.tzinfo or UTC).timestamp() // 1)
        if seconds >= 0:
            return struct.pack(">cQ", b"T", seconds)
    if isinstance(value, Decimal) and value.is_finite():
        sign, digits, exponent = value.as_tuple()
        number = int("".join(map(str, digits)))
        if isinstance(exponent, int) and -255 <= exponent <= 0 and number < 2**31:
            return struct.pack(">cBi", b"D", -exponent, -number if sign else number)
    raise EncodeError(f"header {key!r:.80}: AMQP has no type for {type(value).__name__} {value!r:.80}")


def _sized(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def read_table(data: bytes, at: int, level: int = 0) -> tuple[dict[str, Any], int]:
    """The table that begins at ``at``, and the position after it.

    Raises DecodeError for an unknown type, a length that its frame does not hold, or levels past ``DEEPEST``.
    """
    at, end = _extent(data, at)
    found: dict[str, Any] = {}
    while at < end:
        start, at = at + 1, at + 1 + data[at]
        key = data[start:at].decode("utf-8", "replace")
        found[key], at = _read(data, at, level)
    if at != end:
        raise DecodeError("the last value of a table is longer than the rest of the table")
    return found, at


def _read(data: bytes, at: int, level: int) -> tuple[Any, int]:
    if at >= len(data):
        raise DecodeError("a table ends before its last value")
    kind = chr(data[at])
    at += 1
    if kind in ("S", "x"):
        at, end = _extent(data, at)
        return _text_or_bytes(data[at:end]) if kind == "S" else data[at:end], end
    if kind in ("F", "A"):
        if level >= DEEPEST:
            raise DecodeError(f"headers of more than {DEEPEST} levels")
        return read_table(data, at, level + 1) if kind == "F" else _read_array(data, at, level + 1)
    try:
        return _read_fixed(kind, data, at)
    except (struct.error, IndexError, OverflowError) as exc:
        raise DecodeError(f"a header's value of type {kind!r} cannot be read: {exc}") from exc


def _read_fixed(kind: str, data: bytes, at: int) -> tuple[Any, int]:
    """A value whose size follows from its type."""
    if kind == "V":
        return None, at
    if kind == "t":
        return data[at] != 0, at + 1
    if kind in _NUMBERS:
        return struct.unpack_from(_NUMBERS[kind], data, at)[0], at + struct.calcsize(_NUMBERS[kind])
    if kind == "T":
        return _EPOCH + timedelta(seconds=struct.unpack_from(">Q", data, at)[0]), at + 8
    if kind == "D":
        places, number = struct.unpack_from(">Bi", data, at)
        return Decimal(number).scaleb(-places), at + 5
    raise DecodeError(f"a header of an unknown type {kind!r}")


def _read_array(data: bytes, at: int, level: int) -> tuple[list[Any], int]:
    at, end = _extent(data, at)
    found = []
    while at < end:
        value, at = _read(data, at, level)
        found.append(value)
    if at != end:
        raise DecodeError("an array's last value extends past the end of the array")
    return found, at


def _text_or_bytes(data: bytes) -> str | bytes:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def _extent(data: bytes, at: int) -> tuple[int, int]:
    """Where the contents of a sized value begin and end."""
    if at + 4 > len(data):
        raise DecodeError("a length is missing")
    end = at + 4 + int.from_bytes(data[at : at + 4], "big")
    if end > len(data):
        raise DecodeError("a length goes past the end of its frame")
    return at + 4, end
