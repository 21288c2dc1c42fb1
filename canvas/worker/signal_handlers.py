"""The signal handlers of a worker: set while it runs, put back when it ends, absent in processes that tasks fork."""

import faulthandler
import io
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any, TextIO, TypeAlias

from canvas.worker.signal_wakeup import INTERRUPT, SignalWakeup

Handler: TypeAlias = Callable[[int, FrameType | None], object]
STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
STOPS = (*STOPPING, signal.SIGQUIT)
_set: dict[int, Handler] = {}
_before: dict[int, Any] = {}
"""The handlers that the program had set, by signal."""
_wakeup: SignalWakeup | None = None


def handle(handlers: Mapping[signal.Signals, Handler]) -> None:
    """Call these handlers from now on.

    Python sets handlers in the main thread only: in a worker that runs in another thread, this does nothing, and the
    program's own handlers stay.
    """
    global _wakeup
    if threading.current_thread() is not threading.main_thread():
        return
    if _wakeup is None and signal.getsignal(INTERRUPT) in (signal.SIG_DFL, signal.SIG_IGN):
        handlers = {**handlers, INTERRUPT: ignore}
        _wakeup = SignalWakeup()
    for number, handler in handlers.items():
        before = signal.signal(number, handler)
        _before.setdefault(number, before)
        _set[number] = handler


def put_back() -> None:
    """Set the handlers that were there before the worker's. A handler that a task has set since then stays."""
    global _wakeup
    if threading.current_thread() is not threading.main_thread():
        return
    if _wakeup is not None:
        _wakeup.close()
        _wakeup = None
    for number, handler in _set.items():
        if signal.getsignal(number) == handler:
            before = _before[number]
            # Python knows no handler that other code has set in C.
            signal.signal(number, signal.SIG_DFL if before is None else before)
    _set.clear()
    _before.clear()


@contextmanager
def put_back_afterwards() -> Iterator[None]:
    """The program's own handlers are set again when the block has ended."""
    try:
        yield
    finally:
        put_back()


def ignore(number: int, frame: FrameType | None) -> None:
    """A handler that does nothing. Unlike ``SIG_IGN``, it is not passed on to programs that a task starts."""


def real_stderr() -> TextIO | None:
    """The stream for dumps of tracebacks: the first of Python's standard error streams that is a real file."""
    for stream in (sys.__stderr__, sys.stderr):
        try:
            if stream is not None and stream.fileno() >= 0:
                return stream
        except (AttributeError, ValueError, io.UnsupportedOperation):
            continue
    return None


def dump(number: int, frame: FrameType | None) -> None:
    """A handler that writes what every thread does to the standard error output.

    Python calls it in the main thread, while no other thread runs Python code. ``faulthandler.register`` would read the
    threads' frames while the threads change them, which ends the process now and then.
    """
    stream = real_stderr()
    if stream is not None:
        faulthandler.dump_traceback(stream)


_masks: dict[int, set[int | signal.Signals]] = {}
"""The signals that a forking thread had blocked before, by thread."""


def _block() -> None:
    # Python forgets a signal that reaches a forked process in its first moments if it has a handler there. A blocked
    # one arrives when the handlers are put back.
    _masks[threading.get_ident()] = signal.pthread_sigmask(signal.SIG_BLOCK, _set)


def _unblock() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _masks.pop(threading.get_ident()))


def _without_the_worker() -> None:
    global _wakeup
    if _wakeup is not None:
        _wakeup.forget()
        _wakeup = None
    elif _set:
        signal.set_wakeup_fd(-1)
    put_back()
    mask = _masks[threading.get_ident()]
    _masks.clear()
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


os.register_at_fork(before=_block, after_in_parent=_unblock, after_in_child=_without_the_worker)
