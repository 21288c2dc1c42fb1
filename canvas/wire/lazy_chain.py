"""A body whose chain stays unread: the links after the next one are handed on as they came."""

import re
from typing import Any

import msgspec

from canvas.wire.typed_json import LazyArray, loads

LONG = 1024
"""Bytes from which a body is worth it."""
_NULL = msgspec.Raw(b"null")
_END = 64
"""Bytes at the end of a body in which the links of a task without any stand."""
_NO_CHAIN = re.compile(rb'"chain": ?null')


class _Embed(msgspec.Struct):
    callbacks: msgspec.Raw = _NULL
    errbacks: msgspec.Raw = _NULL
    chain: list[msgspec.Raw] | None = None
    chord: msgspec.Raw = _NULL


_divide = msgspec.json.Decoder(tuple[msgspec.Raw, msgspec.Raw, _Embed]).decode


def body_with_links(data: bytes, max_depth: int) -> tuple[Any, Any, dict[str, Any]] | None:
    """A protocol 2 body with its chain as :class:`~canvas.wire.typed_json.LazyArray`; ``None`` where it is to be read
    whole.

    Raises DecodeError for what is nested deeper than ``max_depth``.
    """
    if len(data) < LONG or _NO_CHAIN.search(data, len(data) - _END) or b'"chain"' not in data:
        return None
    try:
        if not data.isascii():
            data.decode()
        args, kwargs, embed = _divide(data)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    chain = embed.chain
    if not chain:
        return None
    found: dict[str, Any] = {"callbacks": None, "errbacks": None, "chain": LazyArray(chain, max_depth), "chord": None}
    for name in ("callbacks", "errbacks", "chord"):
        part = bytes(getattr(embed, name))
        if part != b"null":
            found[name] = loads(part, max_depth=max_depth, around=2)
    return (
        loads(bytes(args), max_depth=max_depth, around=1),
        loads(bytes(kwargs), max_depth=max_depth, around=1),
        found,
    )
