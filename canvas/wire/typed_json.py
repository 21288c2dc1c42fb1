"""Celery's JSON: plain JSON, and a few types as ``{"__type__": …, "__value__": …}`` (protocol.md §3.2)."""

import json
import sys
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from functools import partial
from math import isfinite
from typing import Any, overload
from uuid import UUID

import msgspec

from canvas.errors import DecodeError, EncodeError
from canvas.interruptions import raise_interruption
from canvas.text import safe_repr
from canvas.wire.depth import LONG_TEXT, MAX_DEPTH, MAX_NESTING, check_depth

_LISTS = (list, tuple)
_decode_plain = msgspec.json.Decoder().decode


class LazyArray(Sequence[dict[str, Any]]):
    """A JSON array of objects that are read when they are asked for, and written as they came."""

    __slots__ = ("items", "max_depth")

    def __init__(self, items: list[msgspec.Raw], max_depth: int = MAX_DEPTH) -> None:
        self.items = items
        self.max_depth = max_depth

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...

    @overload
    def __getitem__(self, index: slice) -> "LazyArray": ...

    def __getitem__(self, index: int | slice) -> Any:
        """Raises DecodeError for an item that cannot be read, or is no object."""
        if isinstance(index, slice):
            return LazyArray(self.items[index], self.max_depth)
        item = loads(bytes(self.items[index]), max_depth=self.max_depth)
        if not isinstance(item, dict):
            raise DecodeError(f"item {index}: expected an object; got {type(item).__name__}")
        return item

    def __len__(self) -> int:
        return len(self.items)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]


def _items(value: Any) -> Any:
    if isinstance(value, LazyArray):
        return value.items
    raise TypeError(f"{type(value).__name__} was taken for plain JSON")


_encode_plain = msgspec.json.Encoder(enc_hook=_items).encode
Written = msgspec.Raw
"""JSON text that is a part of what ``dumps`` writes."""
_PLAIN = frozenset({str, int, bool, type(None), LazyArray, msgspec.Raw})
"""Types of what is written without a look inside."""
_TEXT = frozenset({str})
_CONTAINERS = frozenset({dict, list, tuple})
"""Types of what is written without a look inside when it is empty."""


def dumps(value: Any) -> bytes:
    """``value`` as JSON text in UTF-8.

    Raises EncodeError naming the type of a value that Celery's JSON has no form for.
    """
    if type(value) in _PLAIN or _is_plain(value):
        try:
            return _encode_plain(value)
        except (msgspec.MsgspecError, UnicodeEncodeError, OverflowError, RecursionError):
            return _by_stdlib(value)  # lone surrogates, which msgspec does not write
    return _by_stdlib(value)


def dumps_known(value: Any) -> bytes:
    """As ``dumps`` writes text, integers, booleans, ``None``, lists and dicts of these; it does not look for others."""
    try:
        return _encode_plain(value)
    except (msgspec.MsgspecError, UnicodeEncodeError, OverflowError, RecursionError):
        return _by_stdlib(value)


def dumps_each(values: Sequence[Any]) -> list[bytes]:
    """Each of ``values`` as ``dumps`` writes it. Raises EncodeError."""
    try:
        if _PLAIN.issuperset(map(type, values)):
            return list(map(_encode_plain, values))
        return [_encode_plain(value) if type(value) in _PLAIN else dumps(value) for value in values]
    except (msgspec.MsgspecError, UnicodeEncodeError, OverflowError, RecursionError):
        return [dumps(value) for value in values]  # one of them has a lone surrogate


class MemoEncoder:
    """Writes a value that comes again and again, such as the body in each part of a chord, once.

    ``same`` compares with the last value, which must not be changed meanwhile. For many threads.
    """

    def __init__(self, same: Callable[[Any, Any], bool]) -> None:
        self._same = same
        self._last: tuple[Any, msgspec.Raw] = (None, msgspec.Raw(b"null"))

    def raw(self, value: Any) -> msgspec.Raw:
        """``value`` as a part of what ``dumps`` writes. Raises EncodeError."""
        last, written = self._last
        if not self._same(value, last):
            written = msgspec.Raw(dumps(value))
            self._last = (value, written)
        return written


def loads(data: bytes | str, *, max_depth: int = MAX_DEPTH, around: int = 0) -> Any:
    """The value that JSON text stands for, cut out of text with ``around`` brackets open. Raises DecodeError saying
    what is wrong, and where."""
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    allowed = max_depth - around
    size = len(raw)
    # Counted here, without a call: each message that is read passes.
    if size > allowed and (size >= LONG_TEXT or raw.count(b"[") + raw.count(b"{") > allowed):
        check_depth(raw, max_depth, around=around)
    if b"__type__" in raw:
        return _loads_typed(raw)
    try:
        return _decode_plain(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError):
        return _loads_typed(raw)  # NaN and lone surrogates, which msgspec does not read


def _is_plain(value: Any) -> bool:
    """Whether msgspec writes ``value`` as the standard library would."""
    # A stack rather than recursion, and loops rather than all(): every message and result passes here.
    todo = [(value, 0)]
    while todo:
        value, depth = todo.pop()
        kind = type(value)
        if kind in _PLAIN or (kind is float and isfinite(value)):
            continue
        items: Iterable[Any] = value
        # Exact types come first: comparing them takes no call.
        if kind is dict or (kind is not list and kind is not tuple and isinstance(value, dict)):
            if not _TEXT.issuperset(map(type, value)):
                return False
            items = value.values()
        elif kind is not list and kind is not tuple and not isinstance(value, _LISTS):
            return False
        if depth > MAX_NESTING:
            return False
        for item in items:
            of = type(item)
            if of not in _PLAIN and (of is not float or not isfinite(item)) and (of not in _CONTAINERS or item):
                todo.append((item, depth + 1))
    return True


def _by_stdlib(value: Any) -> bytes:
    try:
        return json.dumps(value, separators=(",", ":"), default=_typed).encode()
    except EncodeError:
        raise
    except (TypeError, ValueError, RecursionError) as exc:
        raise EncodeError(f"cannot be written as JSON: {exc}") from exc


def _typed(value: Any) -> Any:
    if isinstance(value, LazyArray):
        return list(value)
    if isinstance(value, msgspec.Raw):
        return json.loads(bytes(value))
    reduce = getattr(value, "__json__", None)
    if reduce is not None:
        return _reduced(value, reduce)
    if isinstance(value, lazy_text()):
        return str(value)
    for kind, name, write in _WRITERS:
        if isinstance(value, kind):
            return {"__type__": name, "__value__": write(value)}
    if isinstance(value, bytes):
        try:
            return {"__type__": "bytes", "__value__": value.decode("utf-8")}
        except UnicodeDecodeError:
            return {"__type__": "base64", "__value__": b64encode(value).decode("ascii")}
    return _by_registration(value)


def _by_registration(value: Any) -> Any:
    for kind, (marker, encode) in _registered("_encoders").items():
        if isinstance(value, kind):
            written = _reduced(value, partial(encode, value))
            return written if marker is None else {"__type__": marker, "__value__": written}
    # Imported late: most values can be written.
    from canvas.wire.unwritable import advice_on

    raise EncodeError(
        f"cannot be written as JSON: {type(value).__module__}.{type(value).__qualname__} {safe_repr(value):.100}; "
        "expected None, bool, int, float, str, list, tuple, dict, bytes, datetime, date, time, Decimal, UUID or "
        f"an object with a __json__ method{advice_on(value)}"
    )


def lazy_text() -> type | tuple[()]:
    """Django's class of text that is translated when it is read; nothing where Django has made none."""
    functional = sys.modules.get("django.utils.functional")
    return getattr(functional, "Promise", ())


def _registered(what: str) -> dict[Any, Any]:
    """Types that the program has registered with ``kombu.utils.json.register_type``, where it uses kombu."""
    return getattr(sys.modules.get("kombu.utils.json"), what, {})


def _reduced(value: Any, reduce: Callable[[], Any]) -> Any:
    try:
        return reduce()
    except EncodeError:
        raise
    except Exception as exc:
        raise_interruption(exc)
        kind = type(value)
        raise EncodeError(f"{kind.__module__}.{kind.__qualname__}.__json__ raised {safe_repr(exc)}") from exc


# datetime stands before date, because every datetime is a date too.
_WRITERS: tuple[tuple[type, str, Callable[[Any], Any]], ...] = (
    (datetime, "datetime", datetime.isoformat),
    (date, "date", date.isoformat),
    (time, "time", time.isoformat),
    (Decimal, "decimal", str),
    (UUID, "uuid", lambda value: {"hex": value.hex}),
)
_READERS: dict[str, Callable[[Any], Any]] = {
    "datetime": datetime.fromisoformat,
    "date": lambda text: datetime.fromisoformat(text).date(),
    "time": time.fromisoformat,
    "decimal": Decimal,
    "uuid": lambda fields: UUID(**fields),
    "bytes": lambda text: text.encode("utf-8"),
    "base64": lambda text: b64decode(text.encode("utf-8")),
}


def _loads_typed(raw: bytes) -> Any:
    try:
        return json.loads(raw.decode("utf-8", "surrogatepass"), object_hook=_read)
    except DecodeError:
        raise
    except (ValueError, RecursionError) as exc:
        raise DecodeError(f"not JSON: {exc}") from exc


def _read(fields: dict[str, Any]) -> Any:
    if len(fields) != 2 or "__type__" not in fields or "__value__" not in fields:
        return fields
    name = fields["__type__"]
    reader = (_READERS.get(name) or _registered("_decoders").get(name)) if isinstance(name, str) else None
    if reader is None:
        raise DecodeError(f"unknown __type__ {name!r:.100}: expected one of {', '.join(_READERS)}")
    try:
        return reader(fields["__value__"])
    except Exception as exc:  # the program may have registered the reader
        raise_interruption(exc)
        raise DecodeError(f"bad __value__ for {name}: {fields['__value__']!r:.100} ({exc})") from exc
