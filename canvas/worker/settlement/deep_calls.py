"""Room for the calls that signatures nested in each other a hundred times need."""

import sys
from collections.abc import Callable
from threading import Lock
from typing import TypeVar

T = TypeVar("T")

_FRAMES = 5000
"""Enough for what a message may hold, and within the 8 MiB of stack that a thread has."""
_lock = Lock()
_inside = 0
_usual = 0


def with_deep_calls(function: Callable[[], T]) -> T:
    """Call ``function`` with a higher recursion limit: for a call that has raised RecursionError before it did
    anything.

    The limit is the interpreter's, and the usual one again once no thread is in such a call.
    """
    _raise_limit()
    try:
        return function()
    finally:
        _restore_limit()


def _raise_limit() -> None:
    global _inside, _usual
    with _lock:
        if not _inside:
            _usual = sys.getrecursionlimit()
            sys.setrecursionlimit(max(_usual, _FRAMES))
        _inside += 1


def _restore_limit() -> None:
    global _inside
    with _lock:
        _inside -= 1
        if not _inside:
            sys.setrecursionlimit(_usual)
