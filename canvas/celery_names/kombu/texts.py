"""Names of ``kombu.utils.encoding``."""

from typing import Any

from canvas.text import safe_repr, str_to_bytes

default_encoding_file = None


def default_encoding(file: Any = None) -> str:
    """The encoding of text: UTF-8."""
    return "utf-8"


ensure_bytes = str_to_bytes


def bytes_to_str(s: Any) -> Any:
    """Bytes as text, with a replacement for bytes that are not UTF-8; any other value unchanged."""
    return s.decode(errors="replace") if isinstance(s, bytes) else s


def from_utf8(s: Any, *args: Any, **kwargs: Any) -> Any:
    return s


default_encode = from_utf8


def safe_str(s: Any, errors: str = "replace") -> str:
    """Text, whatever the value is; never raises."""
    found = bytes_to_str(s)
    return found if isinstance(found, str) else safe_repr(s)
