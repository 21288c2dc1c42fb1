"""Pickles, with Celery's names of what both libraries have, so that neither side needs the other installed."""

import io
import pickle
from collections.abc import Iterator
from typing import Any

from canvas import errors
from canvas.errors import DecodeError, EncodeError
from canvas.interruptions import raise_interruption
from canvas.wire import celery_pickles

CELERY = "celery.exceptions"
BILLIARD = "billiard.exceptions"
WRAPPER = ("celery.utils.serialization", "UnpickleableExceptionWrapper")
"""The module and the name of the class that Celery stores in the place of an exception that cannot be pickled."""

_PROTOCOL = 4

RENAMED = {"ImproperlyConfigured": "ConfigurationError", "SecurityError": "SignatureError"}
"""Celery's names of exceptions: what canvas calls them."""


def celerys_exception(name: str) -> Any:
    """The exception of canvas that Celery has under ``name``; ``None`` where there is none."""
    return getattr(errors, RENAMED.get(name, name), None)


class Unpickleable(Exception):
    """What Celery pickles in the place of an exception that cannot be pickled."""

    def __init__(self, module: str | None, name: str, arguments: Any, text: str | None = None) -> None:
        super().__init__(module, name, arguments, text)

    def fields(self) -> dict[str, Any]:
        """The exception as records in JSON have it."""
        module, name, arguments, _ = self.args
        return {"exc_type": name, "exc_message": arguments, "exc_module": module}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if module in (CELERY, BILLIARD) and (found := celerys_exception(name)) is not None:
            return found
        if (found := celery_pickles.of_celery(module, name)) is not None:
            return found
        return Unpickleable if (module, name) == WRAPPER else super().find_class(module, name)


def dumps(value: Any) -> bytes:
    """Raises EncodeError."""
    try:
        data = pickle.dumps(value, protocol=_PROTOCOL)
        return celery_pickles.dumps(value, _PROTOCOL) if celery_pickles.names_own_objects(data) else data
    except Exception as exc:
        raise_interruption(exc)
        raise EncodeError(f"cannot be pickled: {exc}") from exc


def loads(data: bytes) -> Any:
    """Raises DecodeError."""
    try:
        return _Unpickler(io.BytesIO(data)).load()
    except Exception as exc:
        raise_interruption(exc)
        raise DecodeError(f"not a pickle: {type(exc).__name__}: {exc}") from exc


def pickleable(exc: BaseException) -> BaseException | None:
    """``exc`` if it can be pickled and read again, or as the nearest of its base classes that can; else ``None``.

    The classes of ``canvas.errors`` cannot: a Celery client may not have them.
    """
    for candidate in _candidates(exc):
        try:
            loads(dumps(candidate))
        except (EncodeError, DecodeError):
            continue
        return candidate
    return None


def _candidates(exc: BaseException) -> Iterator[BaseException]:
    for kind in type(exc).__mro__:
        if kind in (Exception, BaseException) or kind.__module__ == errors.__name__:
            return
        if kind is type(exc):
            yield exc
        if not issubclass(kind, BaseException):
            continue
        try:
            yield kind(*exc.args)
        except Exception as refusal:  # noqa: BLE001 - a constructor of the user's that refuses the arguments
            raise_interruption(refusal)
            continue
