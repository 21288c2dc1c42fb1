"""Log lines as JSON: one object a line, whatever a record holds."""

import json
import logging
import math
from collections.abc import Mapping
from datetime import UTC, datetime

from canvas.text import safe_repr

_USUAL = frozenset({*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"})
_DEEPEST = 32
_MOST_BITS = 8192
"""Python refuses to write longer numbers in decimal."""


class JsonFormatter(logging.Formatter):
    """One JSON object a line: ``time`` (UTC, ISO 8601), ``level``, ``logger``, ``message``, ``process``, ``pid``.

    ``task_name`` and ``task_id`` where the line is about a task, ``traceback`` and ``stack`` where there are any, and
    the keys of ``extra``; there a key that is one of these is written as ``extra_<key>``. Values that JSON does
    not know are written as their ``repr``.
    """

    def format(self, record: logging.LogRecord) -> str:
        found: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname,
            "logger": record.name,
            "message": _message(record),
            "process": record.processName,
            "pid": record.process,
            **self._tracebacks(record),
        }
        own = frozenset(found)
        for key, value in list(vars(record).items()):
            if not isinstance(key, str) or key not in _USUAL:
                _put(found, own, _key(key), _plain(value, ()))
        data = found.get("data")
        if "task_id" not in found and record.name.startswith("celery.") and isinstance(data, dict) and "id" in data:
            found |= {"task_name": data.get("name"), "task_id": data["id"]}
        return json.dumps(found)

    def _tracebacks(self, record: logging.LogRecord) -> dict[str, object]:
        found: dict[str, object] = {}
        if record.exc_text:
            found["traceback"] = record.exc_text
        elif isinstance(record.exc_info, tuple) and record.exc_info[1] is not None:
            try:
                found["traceback"] = self.formatException(record.exc_info)
            except Exception:  # noqa: BLE001 - the exception's class is the user's code too
                found["traceback"] = safe_repr(record.exc_info[1])
        if record.stack_info:
            found["stack"] = record.stack_info
        return found


def _put(found: dict[str, object], own: frozenset[str], key: str, value: object) -> None:
    while key in own:
        key = f"extra_{key}"
    found[key] = value


def _message(record: logging.LogRecord) -> str:
    """The record's text; where its arguments do not fit, both."""
    try:
        return str(record.getMessage())
    except Exception:  # noqa: BLE001 - arguments may be of the user's classes
        return (
            f"{record.msg!s:.10000} {safe_repr(record.args)}" if isinstance(record.msg, str) else safe_repr(record.msg)
        )


def _key(key: object) -> str:
    return str.__str__(key) if isinstance(key, str) else str(key) if type(key) is int else safe_repr(key)


def _plain(value: object, inside: tuple[int, ...]) -> object:
    """``value`` as JSON has it; ``inside`` are the containers around it, by id."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int.__int__(value) if value.bit_length() <= _MOST_BITS else hex(value)
    if isinstance(value, float):
        return float.__float__(value) if math.isfinite(value) else float.__repr__(value)
    if not isinstance(value, Mapping | list | tuple | set | frozenset):
        return safe_repr(value)
    if id(value) in inside:
        return f"<{type(value).__name__} that contains itself>"
    if len(inside) >= _DEEPEST:
        return "..."
    inside = (*inside, id(value))
    try:
        if isinstance(value, Mapping):
            return {_key(key): _plain(item, inside) for key, item in list(value.items())}
        return [_plain(item, inside) for item in list(value)]
    except Exception:  # noqa: BLE001 - a container may be of the user's class too
        return safe_repr(value)
