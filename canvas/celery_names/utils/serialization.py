"""Names of ``celery.utils.serialization`` and ``celery.utils.saferepr``: exceptions and values that are written."""

import base64
import pickle
import sys
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime, time, timedelta
from itertools import takewhile
from numbers import Real
from typing import Any, NoReturn

from canvas.text import safe_repr, short_repr


def saferepr(o: Any, maxlen: int | None = None, maxlevels: int = 3, seen: Any = None) -> str:
    """The text of a value in at most ``maxlen`` characters; deep values are cut below ``maxlevels``."""
    return short_repr(o, maxlen, maxlevels)


def strtobool(term: Any, table: dict[str, bool] | None = None) -> bool:
    """Text such as ``yes``, ``off`` or ``1`` as a bool; other values are returned. Raises TypeError for other text."""
    if not isinstance(term, str):
        return term  # type: ignore[no-any-return]
    known = {"false": False, "no": False, "0": False, "true": True, "yes": True, "1": True, "on": True, "off": False}
    try:
        return (known if table is None else table)[term.lower()]
    except KeyError:
        raise TypeError(f"Cannot coerce {term!r} to type bool") from None


def create_exception_cls(name: str, module: str, parent: type[Exception] | None = None) -> type[Exception]:
    """A new class of exceptions."""
    return type(name, (parent or Exception,), {"__module__": module})


def subclass_exception(name: str, parent: type[Exception], module: str) -> type[Exception]:
    """A new class of exceptions below ``parent``."""
    return create_exception_cls(name, module, parent)


class UnpickleableExceptionWrapper(Exception):
    """Stands for an exception that cannot be pickled: its class by name, its arguments, its text."""

    def __init__(self, exc_module: str, exc_cls_name: str, exc_args: Any, text: str | None = None) -> None:
        self.exc_module, self.exc_cls_name, self.text = exc_module, exc_cls_name, text
        self.exc_args = ensure_serializable(exc_args, lambda arg: pickle.loads(pickle.dumps(arg)))
        super().__init__(exc_module, exc_cls_name, self.exc_args, text)

    def restore(self) -> Exception:
        """An exception of a class made for it."""
        return create_exception_cls(self.exc_cls_name, self.exc_module)(*self.exc_args)

    def __str__(self) -> str:
        return self.text or ""

    @classmethod
    def from_exception(cls, exc: BaseException) -> "UnpickleableExceptionWrapper":
        kind = type(exc)
        return cls(kind.__module__, kind.__name__, getattr(exc, "args", ()), safe_repr(exc))


def can_pickle(
    value: Any, loads: Callable[[bytes], Any] = pickle.loads, dumps: Callable[[Any], bytes] = pickle.dumps
) -> bool:
    """Whether a value can be pickled and read back."""
    try:
        loads(dumps(value))
    except Exception:  # noqa: BLE001 - the value's own code may raise anything
        return False
    return True


def get_pickleable_exception(exc: BaseException) -> BaseException:
    """``exc``, or a substitute if it cannot be pickled."""
    if can_pickle(exc):
        return exc
    return find_pickleable_exception(exc) or UnpickleableExceptionWrapper.from_exception(exc)


def get_pickleable_etype(
    cls: type[BaseException], loads: Callable[[bytes], Any] = pickle.loads, dumps: Callable[[Any], bytes] = pickle.dumps
) -> type[BaseException]:
    """``cls``, or Exception if ``dumps`` and ``loads`` do not take it."""
    return cls if can_pickle(cls, loads, dumps) else Exception


def get_pickled_exception(exc: BaseException) -> BaseException:
    """The exception that a pickled one stands for."""
    return exc.restore() if isinstance(exc, UnpickleableExceptionWrapper) else exc


def find_pickleable_exception(
    exc: BaseException, loads: Callable[[bytes], Any] = pickle.loads, dumps: Callable[[Any], bytes] = pickle.dumps
) -> BaseException | None:
    """An exception of the nearest class above that of ``exc`` that takes its arguments and that ``dumps`` and ``loads``
    take; None without one."""
    for kind in itermro(type(exc), UNWANTED_BASE_CLASSES):
        try:
            found: BaseException = kind(*getattr(exc, "args", ()))
        except Exception:  # noqa: BLE001 - the class's own code may raise anything
            continue
        if can_pickle(found, loads, dumps):
            return found
    return None


UNWANTED_BASE_CLASSES = (Exception, BaseException, object)


def itermro(cls: type, stop: Any) -> Iterator[type]:
    """``cls`` and the classes above it, up to the first of ``stop``."""
    return takewhile(lambda kind: kind not in stop, cls.__mro__)


def ensure_serializable(items: Iterable[Any], encoder: Callable[[Any], Any]) -> tuple[Any, ...]:
    """The items; the text of each that ``encoder`` refuses."""

    def written(item: Any) -> Any:
        try:
            encoder(item)
        except Exception:  # noqa: BLE001 - the encoder may raise anything
            return safe_repr(item)
        return item

    return tuple(map(written, items))


def jsonify(
    obj: Any, builtin_types: tuple[type, ...] = (Real, str), key: Any = None,
    keyfilter: Callable[[Any], bool] | None = None, unknown_type_filter: Callable[[Any], Any] | None = None,
) -> Any:  # fmt: skip
    """``obj`` as values that JSON has: times as text. Raises ValueError for others without ``unknown_type_filter``."""

    def inner(value: Any, name: Any = None) -> Any:
        return jsonify(value, builtin_types, name, keyfilter, unknown_type_filter)

    if obj is None or isinstance(obj, builtin_types):
        return obj
    if isinstance(obj, list | tuple):
        return [inner(value) for value in obj]
    if isinstance(obj, dict):
        return {name: inner(value, name) for name, value in obj.items() if keyfilter is None or keyfilter(name)}
    if isinstance(obj, datetime | time):
        text = obj.isoformat(timespec="milliseconds" if obj.microsecond else "auto")
        return text.removesuffix("+00:00") + "Z" if isinstance(obj, datetime) and text.endswith("+00:00") else text
    if isinstance(obj, date):
        return obj.isoformat()
    if isinstance(obj, timedelta):
        return str(obj)
    if unknown_type_filter is None:
        raise ValueError(f"Unsupported type: {type(obj)!r} {obj!r} (parent: {key})")
    return unknown_type_filter(obj)


def raise_with_context(exc: BaseException) -> NoReturn:
    """Raise ``exc``, with the exception that is being handled as its cause."""
    raise exc from (None if sys.exc_info()[1] is exc else sys.exc_info()[1])


def b64encode(s: str | bytes) -> str:
    return base64.b64encode(s.encode() if isinstance(s, str) else s).decode()


def b64decode(s: str | bytes) -> bytes:
    return base64.b64decode(s)
