"""No waiting for results inside tasks: it blocks the slot that the awaited task may need."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_denied: ContextVar[bool] = ContextVar("canvas_join_denied", default=False)


@contextmanager
def denied_join_result() -> Iterator[None]:
    """Within, ``get()`` raises RuntimeError; the worker puts this around user code."""
    token = _denied.set(True)
    try:
        yield
    finally:
        _denied.reset(token)


@contextmanager
def allow_join_result() -> Iterator[None]:
    """Within, ``get()`` is allowed in a task, by one who knows that it cannot deadlock."""
    token = _denied.set(False)
    try:
        yield
    finally:
        _denied.reset(token)


def check_join_allowed() -> None:
    """Raise RuntimeError inside a task."""
    if _denied.get():
        raise RuntimeError(
            "Never call result.get() within a task! It blocks a worker slot and can deadlock: "
            "compose a chain or chord instead, or use allow_join_result() if you know that it cannot."
        )
