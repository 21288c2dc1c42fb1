"""The meaning of exceptions that result stores of other packages raise."""

from collections.abc import Iterator
from contextlib import contextmanager

from canvas.errors import BrokerError, CanvasError, OperationalError, RefusedError
from canvas.interruptions import raise_interruption

MISTAKES = (TypeError, AttributeError, NameError, NotImplementedError, LookupError, ValueError, AssertionError)
"""Exceptions that would come again."""


def failure_of(exc: Exception, where: str, passes: bool = False) -> BrokerError:
    """The error of a call of a store: it is unreachable, and may be tried again, unless the exception is a mistake of
    the program. ``passes``: the store itself says that the call may succeed later."""
    kind = OperationalError if passes or not isinstance(exc, MISTAKES) else RefusedError
    return kind(f"{where}: {type(exc).__name__}: {exc}")


@contextmanager
def described(where: str) -> Iterator[None]:
    """Raise what a store raises in the block as an error of canvas. ``where`` names the store."""
    try:
        yield
    except CanvasError:
        raise
    except Exception as exc:
        raise_interruption(exc)
        raise failure_of(exc, where) from exc
