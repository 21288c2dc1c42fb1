"""How deep JSON text is nested, found out before anything is built of it."""

import json
import sys
from itertools import accumulate
from typing import Any

import msgspec

from canvas.errors import DecodeError, WireError

MAX_DEPTH = 200
MAX_NESTING = 800
"""Brackets around a value, whatever they are: what reads, copies and writes messages recurses no deeper."""
_SIGNATURE = frozenset({"task", "args", "kwargs", "options"})
LONG_TEXT = 4_096
"""Bytes from which text is searched for brackets instead of counting them at each byte."""
_COPIED = 1 << 20
"""Bytes up to which ``opens_more`` may copy text."""
_decode = msgspec.json.Decoder().decode
_SQUARE = bytes.maketrans(b"{}", b"[]")
_NO_MARKS = bytes(set(range(256)) - set(b'[{]}"'))
_STEPS = bytes.maketrans(b"[]", b"\x01\xff")


def check_depth(raw: bytes, limit: int, error: type[WireError] = DecodeError, *, around: int = 0) -> None:
    """Raise ``error`` for JSON that is nested deeper than ``limit``: before anything is built of it, where it is read,
    and before it leaves, where it is written. ``around`` brackets are open around it.

    Data counts from the signature that it is an argument of: the successors of a task, however many, count only
    against ``MAX_NESTING``. So do the parents in a result's tuple form.
    """
    if len(raw) <= limit - around or not opens_more(raw, limit - around):
        return
    deepest = around + _brackets(raw)
    if deepest <= limit:
        return
    if deepest > max(limit, MAX_NESTING):
        raise error(f"nested {deepest} levels deep; at most {max(limit, MAX_NESTING)} can be read")
    if _data_depth(raw, around) > limit:
        raise error(f"nested more than {limit} levels deep, which is task_message_max_depth")


def opens_more(raw: bytes, limit: int) -> bool:
    """Whether more than ``limit`` brackets open in text, those in its strings included."""
    size = len(raw)
    if size < LONG_TEXT:
        return raw.count(b"[") + raw.count(b"{") > limit
    if size > _COPIED:
        return _finds_more(raw, limit)
    # bytes.count looks at one byte at a time; replace searches for the next bracket, many times as quickly where there
    # are few, and ends at the limit.
    lists = size - len(raw.replace(b"[", b"", limit + 1))
    return lists > limit or lists + size - len(raw.replace(b"{", b"", limit + 1)) > limit


def _finds_more(raw: bytes, limit: int) -> bool:
    """``opens_more`` without a copy."""
    opened = 0
    for bracket in (b"[", b"{"):
        at = raw.find(bracket)
        while at >= 0:
            opened += 1
            if opened > limit:
                return True
            at = raw.find(bracket, at + 1)
    return False


def _brackets(raw: bytes) -> int:
    """How many brackets are open at most. Nothing is built."""
    if b"\\" in raw:
        raw = raw.replace(b"\\\\", b"").replace(b'\\"', b"")
    # Without what is between two quotation marks where that has no brackets: most strings go here.
    marks = raw.translate(_SQUARE, _NO_MARKS).replace(b'""', b"")
    if b'"' in marks:
        marks = b"".join(marks.split(b'"')[::2])
    # Most data is wide: without its innermost level, not much of it is left.
    levels, size, left = 0, len(marks), marks.replace(b"[]", b"")
    while len(left) * 4 <= size * 3:
        levels, size, left = levels + 1, len(left), left.replace(b"[]", b"")
        if not size:
            return levels
    # Brackets as signed bytes, 1 and -1, so that no step is taken in Python: long chains pass here with each link.
    return max(accumulate(memoryview(marks.translate(_STEPS)).cast("b")), default=0)


def _data_depth(raw: bytes, around: int) -> int:
    """The levels of the most deeply nested data in JSON text; 0 for text that is not JSON, which its reader refuses."""
    try:
        start = _read(raw)
    except ValueError:
        return 0
    except RecursionError:
        return sys.maxsize
    # One loop without calls: a workflow of some hundred levels passes here with each of its messages.
    deepest, pending = 0, [(start, around)]
    while pending:
        value, depth = pending.pop()
        depth = 1 if _counts_anew(value) else depth + 1
        deepest = max(deepest, depth)
        for part in value.values() if type(value) is dict else value:
            kind = type(part)
            if kind is dict or kind is list:
                if part:
                    pending.append((part, depth))
                elif depth >= deepest:
                    deepest = depth + 1
    return deepest


def _read(raw: bytes) -> Any:
    try:
        return _decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return json.loads(raw.decode("utf-8", "surrogatepass"))  # NaN and lone surrogates, which msgspec does not read


def _counts_anew(value: Any) -> bool:
    """Whether it is a signature in wire form, or a result in tuple form."""
    if type(value) is dict:
        return "task" in value and value.keys() >= _SIGNATURE
    if len(value) != 2 or not isinstance(value[1], list | None):
        return False
    about = value[0]
    return isinstance(about, list) and len(about) == 2 and isinstance(about[0], str)
