"""Text: of arguments, for ``argsrepr`` and logs, never longer than asked; of names alike; of what to install."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

_LIKE = 0.8
PLAIN = frozenset({int, float, bool, type(None)})
"""Types of values whose text is their ``repr``."""
FEW = 8
"""Lists and tuples of fewer plain values need no cut."""
_BRACKETS: dict[type, tuple[str, str]] = {list: ("[", "]"), tuple: ("(", ")"), set: ("{", "}")}


def short_repr(value: Any, limit: int | None = 1024, levels: int = 3) -> str:
    """``repr`` of plain data, cut to about ``limit`` characters and ``levels`` levels, as Celery cuts it.

    Strings are quoted with ``'``; text that does not fit is written as ``...``; an object whose ``repr`` raises is
    written as ``<Unrepresentable …>``.
    """
    kind = type(value)
    if (kind is tuple or kind is list) and len(value) < FEW and PLAIN.issuperset(map(type, value)):
        return repr(value)
    if kind is dict and not value:
        return "{}"
    writer = _Writer(limit, levels)
    writer.write(value, 0)
    return "".join(writer.out)


class _Writer:
    def __init__(self, limit: int | None, levels: int) -> None:
        self.out: list[str] = []
        self._left = limit
        self._levels = levels
        self._inside: set[int] = set()

    def write(self, value: Any, level: int) -> bool:
        """Write one value; False when the room ran out before it."""
        if self._left is not None and self._left <= 0:
            self.out.append(", ..." if self.out else "...")
            return False
        if isinstance(value, str):
            return self._put("'" + self._cut(value).replace("'", "\\'") + "'")
        if isinstance(value, bytes):
            return self._put(f"b'{_bytes_text(value if self._left is None else value[: self._left])}'")
        if isinstance(value, dict | list | tuple | set | frozenset):
            return self._container(value, level)
        return self._put(self._cut(safe_repr(value)))

    def _container(self, value: Any, level: int) -> bool:
        if id(value) in self._inside:
            return self._put("...")
        opening, closing = _brackets(value)
        if isinstance(value, tuple) and len(value) == 1:
            closing = ",)"
        if level >= self._levels and (value or not isinstance(value, set | frozenset)):
            return self._put(f"{opening}...{closing}")
        if not value:
            return self._put(repr(value))
        self._put(opening)
        self._inside.add(id(value))
        complete = self._pairs(value, level) if isinstance(value, dict) else self._items(value, level)
        self._inside.discard(id(value))
        self.out.append(closing)
        if self._left is not None:
            self._left -= len(closing)
        return complete

    def _items(self, value: Any, level: int) -> bool:
        for position, item in enumerate(value):
            if position and self._room():
                self._put(", ")
            if not self.write(item, level + 1):
                return False
        return True

    def _pairs(self, value: dict[Any, Any], level: int) -> bool:
        for position, (key, item) in enumerate(value.items()):
            if position and self._room():
                self._put(", ")
            if not self.write(key, level + 1):
                return False
            if self._room():
                self._put(": ")
            if not self.write(item, level + 1):
                return False
        return True

    def _room(self) -> bool:
        return self._left is None or self._left > 0

    def _fits(self, size: int) -> bool:
        return self._left is None or size < self._left

    def _cut(self, text: str) -> str:
        return text if self._fits(len(text)) else text[: self._left].rsplit(" ", 1)[0] + "..."

    def _put(self, text: str) -> bool:
        self.out.append(text)
        if self._left is not None:
            self._left -= len(text)
        return True


def _brackets(value: Any) -> tuple[str, str]:
    kind = type(value)
    if isinstance(value, dict):
        return "{", "}"
    if kind in _BRACKETS:
        return _BRACKETS[kind]
    base = next((b for b in _BRACKETS if isinstance(value, b)), set)
    opening, closing = _BRACKETS[base]
    return f"{kind.__name__}({opening}", f"{closing})"


def _bytes_text(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.hex()


def str_to_bytes(value: Any) -> Any:
    """Text as bytes; any other value unchanged."""
    return value.encode() if isinstance(value, str) else value


def as_text(value: Any) -> str:
    """Bytes in UTF-8 as text; of any other value its text."""
    return value.decode() if isinstance(value, bytes) else str(value)


def safe_repr(value: Any) -> str:
    """``repr``, or ``<Unrepresentable …>`` if that raises: a broken ``__repr__`` must not lose a task."""
    try:
        return repr(value)
    except KeyboardInterrupt:
        raise
    except BaseException as exc:  # noqa: BLE001 - as said above
        # A class may have broken these too; type's own always work.
        return f"<Unrepresentable {type.__repr__(type(value))}: {type.__repr__(type(exc))}>"


def first_of(names: Sequence[str], most: int = 10) -> str:
    """The first names, ``most`` of them at most, and how many more there are."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def shorten_names(task: str, text: str) -> str:
    """``text`` with the module of ``task`` left out after its first mention."""
    module, dot, _ = task.rpartition(".")
    if not dot:
        return text
    head, found, tail = text.partition(module + dot)
    return head + found + re.sub(rf"(?<![\w.-]){re.escape(module)}\.", "", tail)


def not_registered(task: str) -> str:
    """The text of an error for a task that is not known where it is to run; a text instead of a name stays as it is."""
    if not task or " " in task:
        return task
    if task.startswith("__main__."):
        return f"no task {task!r} is registered where it was to run: move it from the script into a module"
    return f"no task {task!r} is registered where it was to run: import its module there"


@lru_cache(maxsize=1024)
def nearest_name(name: str, known: frozenset[str]) -> str | None:
    """The known name of which ``name`` looks like a misspelling; ``None`` if it resembles none."""
    # Imported late: only wrong names need it.
    from difflib import get_close_matches

    return next(iter(get_close_matches(name, known, n=1, cutoff=_LIKE)), None)


def pip_install(extra: str) -> str:
    """The command that installs the libraries of an optional part of canvas."""
    return f"pip install 'canvas-workflows[{extra}]'"
