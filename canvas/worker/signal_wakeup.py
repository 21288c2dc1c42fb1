"""Has Python call the handlers of signals at once, whatever the main thread waits for.

Python calls a handler in the main thread, before its next instruction. A signal that another thread receives, or that
comes just before the main thread enters a system call, does not interrupt that call: the handler would be called when
the call returns. A thread reads from a pipe which signals have come, and interrupts the main thread by another signal.
"""

import os
import signal
import threading
import time

INTERRUPT = signal.SIGURG
"""The signal that interrupts the main thread. Its handler does nothing."""
_PAUSES = (0.05, 0.5)
"""Seconds before the main thread is interrupted, and once more. Mostly it has called the handler by then."""
_CHUNK = 512


class SignalWakeup:
    """From its making, in the main thread, until :meth:`close`."""

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
