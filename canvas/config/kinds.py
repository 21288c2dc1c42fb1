"""The kinds of settings: how a value of each is checked, and how it is read from text."""

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta, tzinfo
from typing import Any, Final

WRONG: Final[Any] = object()
"""The result of a check for a value that it refuses."""

_TRUTH = {
    "1": True,
    "true": True,
    "yes": True,
    "on": True,
    "0": False,
    "false": False,
    "no": False,
    "off": False,
}


def checked(kind: str, value: Any) -> Any:
    """``value`` as a setting of this kind keeps it; ``WRONG`` if it is not of the kind.

    Text that can be read as a number, a truth value or a JSON object becomes one, if the kind is one of these.
    """
    if isinstance(value, str) and kind in _READ_FROM_TEXT:
        try:
            value = _PARSERS[kind](value)
        except (ValueError, KeyError):
            return WRONG
    return _CHECKS[kind](value)


def parsed(kind: str, text: str) -> Any:
    """The value of this kind that text from the environment stands for; ``WRONG`` if there is none."""
    try:
        value = _PARSERS.get(kind, _parse_any)(text)
    except (ValueError, KeyError):
        return WRONG
    return _CHECKS[kind](value)


def expected(kind: str) -> str:
    """A description of the values of this kind, for error messages."""
    return _EXPECTED[kind]


def _parse_any(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _parse_names(text: str) -> list[str]:
    if text.lstrip().startswith("["):
        return json.loads(text)  # type: ignore[no-any-return]
    return [part.strip() for part in text.split(",") if part.strip()]


_PARSERS: dict[str, Callable[[str], Any]] = {
    "bool": lambda text: _TRUTH[text.strip().lower()],
    "int": int,
    "count": int,
    "priority": int,
    "protocol": int,
    "float": float,
    "seconds": float,
    "duration": float,
    "names": _parse_names,
    "serializers": _parse_names,
    "dict": json.loads,
    "text": str,
    "class": str,
    "urls": str,
    "backend": str,
    "timezone": str,
    "unknown": str,
    "unknown_in_run": str,
}
_READ_FROM_TEXT = frozenset(
    {"bool", "int", "count", "priority", "protocol", "float", "seconds", "duration", "dict"}
)  # fmt: skip


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _mapping(value: Any) -> Any:
    """A dict stays the same object: what the program changes in it later takes effect, as with Celery."""
    if isinstance(value, dict) or value is None:
        return value
    return dict(value) if isinstance(value, Mapping) else WRONG


def _duration(value: Any) -> Any:
    if isinstance(value, timedelta):
        return value if value >= timedelta() else WRONG
    return value if value is None or (_number(value) and value >= 0) else WRONG


def _names(value: Any) -> Any:
    if value is None:
        return None
    if isinstance(value, str):
        return [value]
    if isinstance(value, list | tuple | set | frozenset) and all(isinstance(item, str) for item in value):
        # Programs add a tuple to a tuple, and a list to a list.
        return value if isinstance(value, tuple) else list(value)
    return WRONG


def _serializers(value: Any) -> Any:
    # Imported late: the codecs are loaded with the first message, or the first setting that names some.
    from canvas.wire.codecs import is_known

    names = _names(value)
    return names if names is WRONG or all(map(is_known, names or ())) else WRONG


def _url(value: Any) -> str | None:
    """The text of a URL: of ``str``, or of an object that stands for a URL, such as pydantic's or yarl's."""
    if isinstance(value, str):
        return value
    if isinstance(value, Iterable):
        return None
    text = str(value)
    return text if "://" in text else None


def _urls(value: Any) -> Any:
    if value is None:
        return None
    one = _url(value)
    if one is not None:
        return one
    many = [_url(item) for item in value] if isinstance(value, list | tuple) else []
    return ";".join(str(url) for url in many) if many and None not in many else WRONG


def _backend(value: Any) -> Any:
    """A URL, or another value such as a class: one that cannot be used is refused when it is used."""
    found = _urls(value)
    return value if found is WRONG else found


def _timezone(value: Any) -> Any:
    if value is None or isinstance(value, tzinfo):
        return value
    # Imported late: most programs keep to UTC.
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(value)
    except (ValueError, TypeError, OSError, KeyError):
        return WRONG
    return value


def _count(value: Any) -> Any:
    return value if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0) else WRONG


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "any": lambda value: value,
    "bool": lambda value: (
        value if value is None or isinstance(value, bool) else (bool(value) if value in (0, 1) else WRONG)
    ),
    "int": lambda value: value if value is None or _number(value) else WRONG,
    "float": lambda value: value if value is None or _number(value) else WRONG,
    "seconds": lambda value: value if value is None or (_number(value) and value >= 0) else WRONG,
    "count": _count,
    "priority": lambda value: value if value is None or (_number(value) and 0 <= value <= 255) else WRONG,
    "protocol": lambda value: value if value in (1, 2) else WRONG,
    "text": lambda value: value if value is None or isinstance(value, str) else WRONG,
    "class": lambda value: value if value is None or isinstance(value, str | type) else WRONG,
    "urls": _urls,
    "backend": _backend,
    "names": _names,
    "serializers": _serializers,
    "timezone": _timezone,
    "dict": _mapping,
    "duration": _duration,
    "unknown": lambda value: value if value in ("dead_letter", "requeue") else WRONG,
    "unknown_in_run": lambda value: value if value in ("wait", "fail") else WRONG,
}
_EXPECTED = {
    "any": "any value",
    "bool": "true or false",
    "int": "a number",
    "float": "a number",
    "seconds": "seconds, 0 or more",
    "count": "a whole number, 0 or more",
    "priority": "a priority from 0 to 255",
    "protocol": "1 or 2",
    "text": "text",
    "class": "a class or its name",
    "urls": "a URL or a list of URLs",
    "backend": "a URL or a list of URLs",
    "names": "a list of names",
    "serializers": "a list of json, msgpack, yaml, pickle or their content types",
    "timezone": "the name of a time zone, such as 'Europe/Berlin', or a tzinfo",
    "dict": "a mapping",
    "duration": "seconds, a timedelta, or None",
    "unknown": '"dead_letter" or "requeue"',
    "unknown_in_run": '"wait" or "fail"',
}
