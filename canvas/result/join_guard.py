"""No waiting for results inside tasks: it blocks the slot that the awaited task may need."""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext
from contextvars import ContextVar

from canvas.caller_warnings import warn_caller

Away = Callable[[], AbstractAsyncContextManager[None]]

_denied: ContextVar[bool] = ContextVar("canvas_join_denied", default=False)
_away: ContextVar[Away | None] = ContextVar("canvas_place_away", default=None)


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


def give_place_away(away: Away) -> None:
    """From here on in this context, a coroutine may await results; ``away()`` is around each wait."""
    _away.set(away)


def check_join_allowed() -> None:
    """Raise RuntimeError inside a task."""
    if _denied.get():
        raise RuntimeError(
            "Never call result.get() within a task, and never await a result there! It blocks a worker slot and can "
            "deadlock: compose a chain or chord instead, let the task await the result in the asyncio pool "
            "(`worker -P asyncio`), or use allow_join_result() if you know that it cannot."
        )


def awaiting() -> AbstractAsyncContextManager[None]:
    """What has to be around a wait for results on an event loop.

    Raises RuntimeError inside a task, but where the pool gives the place of a task that waits to another one.
    """
    away = _away.get()
    if away is not None:
        return away()
    check_join_allowed()
    return nullcontext()


def warn_of_blocked_loop() -> None:
    """Warn where a blocking wait would stop the running event loop."""
    asyncio = sys.modules.get("asyncio")
    # A cell of a notebook always runs on a loop, and has nothing else to do meanwhile.
    if asyncio is None or asyncio._get_running_loop() is None or "ipykernel" in sys.modules:
        return
    text = "result.get() blocks the running event loop until the result is there: use `await result.aget()`"
    warn_caller(text, RuntimeWarning)
