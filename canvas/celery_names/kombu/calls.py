"""Names of ``kombu.utils.functional`` that Celery does not have, and ``kombu.log``."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count, islice, repeat
from typing import Any

VERSION = (5, 7, 0)
"""The kombu whose names are served."""
__version__ = "5.7.0"


def fxrange(
    start: float = 1.0, stop: float | None = None, step: float = 1.0, repeatlast: bool = False
) -> Iterator[float]:  # fmt: skip
    """Numbers from ``start`` in steps up to ``stop``; with ``repeatlast`` the last one is repeated without an end."""
    value = start * 1.0
    while stop is None or value <= stop:
        yield value
        value += step
    if repeatlast:
        yield from repeat(value - step)


def fxrangemax(start: float = 1.0, stop: float | None = None, step: float = 1.0, max: float = 100.0) -> Iterator[float]:
    """Numbers from ``start`` in steps until their sum reaches ``max``."""
    total, value = 0.0, start * 1.0
    while total < max:
        yield value
        total += value
        value = value if stop is not None and value + step > stop else value + step


def retry_over_time(
    fun: Callable[..., Any], catch: Any, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None,
    errback: Callable[[Any, Any, int], float] | None = None, max_retries: int | None = None, interval_start: float = 2,
    interval_step: float = 2, interval_max: float = 30, callback: Callable[[], Any] | None = None,
    timeout: float | None = None,
) -> Any:  # fmt: skip
    """The value of ``fun``, which is called again after the exceptions of ``catch``.

    Seconds between two calls: ``interval_start``, and ``interval_step`` more each time, up to ``interval_max``; or the
    number that ``errback`` returns. ``callback`` is called before each second. The exception is raised after
    ``max_retries``, and when ``timeout`` seconds have passed.
    """
    steps = fxrange(interval_start, interval_max + interval_start, interval_step, repeatlast=True)
    pauses = (min(value, float(interval_max)) for value in steps)
    until = time.monotonic() + timeout if timeout else None
    for retries in count():
        try:
            return fun(*(args or ()), **(kwargs or {}))
        except catch as exc:
            if (max_retries is not None and retries >= max_retries) or (until and time.monotonic() > until):
                raise
            pause = float(errback(exc, pauses, retries)) if errback is not None else next(pauses)
            _wait(min(pause, float(interval_max)), callback)
    return None


def _wait(seconds: float, callback: Callable[[], Any] | None) -> None:
    if callback is not None:
        callback()
    for part in (*repeat(1.0, int(seconds)), seconds % 1):
        if callback is not None and part == 1.0:
            callback()
        time.sleep(part)


def reprcall(name: str, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None, sep: str = ", ") -> str:
    """A call as it is written."""
    words = [repr(value) for value in args] + [f"{key}={value!r}" for key, value in (kwargs or {}).items()]
    return f"{name}({sep.join(words)})"


def reprkwargs(kwargs: Mapping[str, Any], sep: str = ", ", fmt: str = "{0}={1}") -> str:
    return sep.join(fmt.format(key, repr(value)) for key, value in kwargs.items())


def take(values: Iterator[Any], n: int) -> list[Any]:
    """The first ``n`` values."""
    return list(islice(values, n))


def get_logger(logger: Any) -> logging.Logger:
    """The logger that is given, or the one of that name; it has a handler that writes nothing."""
    found: logging.Logger = logging.getLogger(logger) if isinstance(logger, str) else logger
    if not found.handlers:
        found.addHandler(logging.NullHandler())
    return found
