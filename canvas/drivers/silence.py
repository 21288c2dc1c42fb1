"""Reports a server that keeps a program waiting, for people at a terminal."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SILENT_AFTER = 2.0
"""Seconds without an answer after which a server is reported."""
Report = Callable[[str], None]
report: Report | None = None
"""Gets the name and the address of each server that is silent; ``None``: none are reported."""


def watch(function: Report | None) -> None:
    """Report silent servers from now on, or no longer with ``None``. Clients that are open already stay as they are."""
    global report
    report = function


@contextmanager
def reported(where: str) -> Iterator[None]:
    """Report the server once if the block, which waits for its answer, takes longer than ``SILENT_AFTER``."""
    if report is None:
        yield
        return
    timer = threading.Timer(SILENT_AFTER, report, (where,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
