"""The signal handlers of a worker: set while it runs, put back when it ends, absent in processes that tasks fork."""

import faulthandler
import io
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any, TextIO, TypeAlias

Handler: TypeAlias = Callable[[int, FrameType | None], object]
STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
STOPS = (*STOPPING, signal.SIGQUIT)
INTERRUPT = signal.SIGURG
"""The signal that interrupts the main thread. Its handler does nothing."""
_PAUSES = (0.05, 0.5)
"""Seconds before the main thread is interrupted, and once more. Mostly it has called the handler by then."""
_CHUNK = 512
_set: dict[int, Handler] = {}
_before: dict[int, Any] = {}
"""The handlers that the program had set, by signal."""


class SignalWakeup:
    """Has Python call handlers at once, whatever the main thread waits for: from its making, in the main thread, until
    :meth:`close`.

    Python calls a handler in the main thread, before its next instruction. A signal that another thread receives, or
    that comes just before the main thread enters a system call, does not interrupt that call: the handler would be
    called when the call returns. A thread reads from a pipe which signals have come, and interrupts the main thread by
    another signal.
    """

    def __init__(self) -> None:
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._writing, False)
        self._before = signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)
        self._main = threading.main_thread().ident
        threading.Thread(target=self._watch, name="canvas-signals", daemon=True).start()

    def close(self) -> None:
        """In the main thread: end the thread, and put the program's own descriptor back."""
        found = signal.set_wakeup_fd(self._before)
        if found != self._writing:
            signal.set_wakeup_fd(found)  # the program has set its own meanwhile
        os.close(self._writing)

    def forget(self) -> None:
        """In a forked process, which has no such thread: close its copies."""
        signal.set_wakeup_fd(-1)
        os.close(self._reading)
        os.close(self._writing)

    def _watch(self) -> None:
        while came := os.read(self._reading, _CHUNK):
            if set(came) != {INTERRUPT}:
                for pause in _PAUSES:
                    time.sleep(pause)
                    signal.pthread_kill(self._main or 0, INTERRUPT)
        os.close(self._reading)


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
