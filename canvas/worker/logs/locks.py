"""The locks of log handlers while this process forks.

A thread that writes a log line holds the handler's lock, and inside it the lock of the stream. Python makes new handler
locks in a forked process, but copies the stream's lock as it is: the process would wait without end for a thread that
it does not have. No thread writes a line while the forking thread holds the handlers' locks.
"""

import logging
import os
import threading
import time
from functools import cache

_WITHIN = 2.0
"""Seconds. Later the process forks without the locks that it did not get."""
_TRY_FOR = 0.05
"""Seconds for one lock, while others are held."""
_PAUSE = 0.0005
_held: list[logging.Handler] = []
_turn = threading.RLock()
"""Held by the thread that forks, from before the fork until after it."""


@cache
def hold_over_forks() -> None:
    """From now on, a thread of this process that forks holds the locks of all log handlers meanwhile."""
    os.register_at_fork(before=_hold, after_in_parent=_let_go, after_in_child=_forget)


def _hold() -> None:
    _turn.acquire()
    # A handler may hold its own lock while it waits for another's (MemoryHandler does). Either all locks are held, or
    # none while waiting, so that no two threads wait for each other.
    deadline = time.monotonic() + _WITHIN
    handlers = [handler for ref in logging._handlerList if (handler := ref()) is not None]  # type: ignore[attr-defined]
    while not all(_take(handler) for handler in handlers) and time.monotonic() < deadline:
        _release()
        time.sleep(_PAUSE)


def _take(handler: logging.Handler) -> bool:
    lock = handler.lock
    if lock is None:
        return True
    taken = lock.acquire(timeout=_TRY_FOR)
    if taken:
        _held.append(handler)
    return taken


def _release() -> None:
    while _held:
        _held.pop().release()


def _let_go() -> None:
    _release()
    _turn.release()


def _forget() -> None:
    global _turn
    _turn = threading.RLock()
    _held.clear()
