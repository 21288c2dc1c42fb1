"""The meaning of exceptions that result stores of other packages raise."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from canvas.errors import BrokerError, CanvasError, OperationalError, RefusedError
from canvas.interruptions import raise_interruption

MISTAKES = (TypeError, AttributeError, NameError, NotImplementedError, LookupError, ValueError, AssertionError)
"""Exceptions that would come again."""
_BEYOND_SIZE = re.compile(r"too ?(large|big|long)|exceed\w* (the )?max", re.IGNORECASE)
"""In the names and texts of exceptions about a value that a server does not take."""


def failure_of(exc: Exception, where: str, passes: bool = False) -> BrokerError:
    """The error of a call of a store: it is unreachable, and may be tried again, unless the exception is a mistake of
    the program or is about the size of a value. ``passes``: the store itself says that the call may succeed later."""
    what = f"{type(exc).__name__}: {exc}"
    comes_again = isinstance(exc, MISTAKES) or _BEYOND_SIZE.search(what) is not None
    kind = RefusedError if comes_again and not passes else OperationalError
    return kind(f"{where}: {what}")


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
