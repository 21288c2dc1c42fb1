"""Names of ``celery.utils.serialization`` and ``celery.utils.saferepr``: exceptions and values that are written."""

import pickle
from typing import Any

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
        self.exc_args = tuple(arg if can_pickle(arg) else safe_repr(arg) for arg in exc_args)
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


def can_pickle(value: Any) -> bool:
    """Whether a value can be pickled and read back."""
    try:
        pickle.loads(pickle.dumps(value))
    except Exception:  # noqa: BLE001 - the value's own code may raise anything
        return False
    return True


def get_pickleable_exception(exc: BaseException) -> BaseException:
    """``exc``, or what stands for it if it cannot be pickled."""
    return exc if can_pickle(exc) else UnpickleableExceptionWrapper.from_exception(exc)


def get_pickleable_etype(cls: type[BaseException]) -> type[BaseException]:
    """``cls``, or the nearest class above it that can be pickled."""
    return next((kind for kind in cls.__mro__ if issubclass(kind, BaseException) and can_pickle(kind)), Exception)


def get_pickled_exception(exc: BaseException) -> BaseException:
    """The exception that a pickled one stands for."""
    return exc.restore() if isinstance(exc, UnpickleableExceptionWrapper) else exc
