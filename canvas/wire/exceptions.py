"""Exceptions ⇄ the form that result records have (protocol.md §5)."""

import sys
from collections.abc import Mapping
from typing import Any

from canvas import errors
from canvas.errors import EncodeError, RemoteError
from canvas.interruptions import raise_interruption
from canvas.text import safe_repr
from canvas.wire import codecs
from canvas.wire.depth import MAX_DEPTH
from canvas.wire.pickling import BILLIARD, CELERY, RENAMED, WRAPPER, Unpickleable, celerys_exception, pickleable

_AROUND = 3
"""Levels of a record, or a part, around an argument of an exception or of the task."""
_CELERYS = {own: name for name, own in RENAMED.items()}
"""What Celery calls exceptions of canvas that have another name there."""
_CELERY_NAMES = frozenset(
    {
        "NotRegistered", "AlreadyRegistered", "ChordError", "MaxRetriesExceededError", "TaskRevokedError",
        "InvalidTaskError", "Retry", "Ignore", "Reject", "TimeoutError", *RENAMED,
    }
)  # fmt: skip
_BILLIARD_NAMES = frozenset({"WorkerLostError", "SoftTimeLimitExceeded", "TimeLimitExceeded"})


def encode_exception(exc: BaseException, serializer: str = "json", max_depth: int = MAX_DEPTH) -> Any:
    """``{"exc_type", "exc_message", "exc_module"}``; arguments that cannot be written become their repr. In pickles the
    exception itself, or its nearest base class, where it can be pickled.

    Elsewhere an exception that readers cannot make again is its nearest base class that can be pickled, if there is
    one: who catches that class gets it.
    """
    if serializer == "pickle":
        pickled = pickleable(exc)
        if pickled is not None:
            return pickled
    if isinstance(exc, RemoteError):
        return {"exc_type": exc.exc_type, "exc_message": list(exc.exc_args), "exc_module": exc.exc_module}
    fields = _fields(exc, serializer, max_depth)
    if isinstance(exc, Exception) and isinstance(decode_exception(fields), RemoteError):
        base = pickleable(exc)
        return fields if base is None or type(base) is type(exc) else _fields(base, serializer, max_depth)
    return fields


def _fields(exc: BaseException, serializer: str, max_depth: int) -> dict[str, Any]:
    kind = type(exc)
    # By type's own means, which a class of the user's cannot break.
    module, name = (type.__getattribute__(kind, field) for field in ("__module__", "__qualname__"))
    if module == errors.__name__:
        name = _CELERYS.get(name, name)
        module = _wire_module(name)
    return {
        "exc_type": name,
        "exc_message": [writable(arg, serializer, max_depth) for arg in exc.args],
        "exc_module": module,
    }


def _wire_module(name: str) -> str:
    if name in _CELERY_NAMES:
        return CELERY
    return BILLIARD if name in _BILLIARD_NAMES else errors.__name__


def writable(value: Any, serializer: str, max_depth: int) -> Any:
    """An argument of an exception or of a task as it is, or its repr where a record cannot have it."""
    try:
        codecs.encode_within(value, serializer, max_depth - _AROUND)
    except EncodeError:
        return safe_repr(value)
    return value


def exception_of(stored: Any, traceback: str | None = None) -> Any:
    """The stored result of a failed task, as an exception where it is one."""
    if isinstance(stored, Unpickleable):
        stored = stored.fields()
    return decode_exception(stored, traceback) if isinstance(stored, dict) and "exc_type" in stored else stored


def decode_exception(data: Mapping[str, Any], traceback: str | None = None) -> BaseException:
    """The exception that was stored.

    Its class is looked up among modules that are imported already; nothing is ever imported because a record
    names it. Unknown classes, classes that are not exceptions, and constructors that refuse the arguments give
    RemoteError.
    """
    name, module, args = data.get("exc_type"), data.get("exc_module"), data.get("exc_message")
    args = tuple(args) if isinstance(args, list | tuple) else (() if args is None else (args,))
    if (module, name) == WRAPPER and len(args) in (3, 4):
        return decode_exception(Unpickleable(*args).fields(), traceback)
    remote = RemoteError(str(name), args, module if isinstance(module, str) else None, traceback)
    kind = _known_class(name, module)
    if kind is None:
        return remote
    try:
        return kind(*args)
    except Exception as exc:  # noqa: BLE001 - a constructor of the user's that refuses its stored arguments
        raise_interruption(exc)
        return remote


def _known_class(name: Any, module: Any) -> type[Exception] | None:
    if not isinstance(name, str):
        return None
    found: Any = celerys_exception(name) if module in (CELERY, BILLIARD) else None
    if found is None:
        found = sys.modules.get(module if isinstance(module, str) else "builtins")
        for part in name.split("."):
            found = getattr(found, part, None)
    return found if isinstance(found, type) and issubclass(found, Exception) else None
