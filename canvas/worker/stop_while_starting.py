"""A worker until its pool handles signals: one to stop ends it in good order, whatever it waits for."""

import signal
import sys
import threading
from collections.abc import Callable
from queue import SimpleQueue
from types import FrameType

from canvas.worker.signal_handlers import STOPS, handle
from canvas.worker.stopping import announce_stop, remapped


class Starting:
    """The signals to stop that arrive before the pool runs."""

    def __init__(self, hostname: str) -> None:
        self._hostname = hostname
        self._signal: int | None = None
        self._woken: SimpleQueue[BaseException | None] = SimpleQueue()

    def listen(self) -> None:
        """Take the signals from now on, until a pool sets its handlers."""
        handle(dict.fromkeys(STOPS, self._on_signal))

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._signal is None:
            announce_stop("cold" if remapped(number) == signal.SIGQUIT else "warm", self._hostname)
        self._signal = number
        self._woken.put(None)

    @property
    def stopped(self) -> bool:
        """Whether the worker is to end."""
        return self._signal is not None

    @property
    def exit_code(self) -> int:
        """The exit code of a worker that ends before its pool runs."""
        return 1 if self._signal is not None and remapped(self._signal) == signal.SIGQUIT else 0

    def wait_for(self, work: Callable[[threading.Event], None]) -> None:
        """Do ``work``, which waits for servers, on a thread of its own; return when it is done or the worker is to end.

        In the second case the event that ``work`` is given is set. Raises what ``work`` raises.
        """
        ended = threading.Event()

        def call() -> None:
            try:
                work(ended)
            except BaseException as exc:  # noqa: BLE001 - raised again in the thread that waits
                self._woken.put(exc)
            else:
                self._woken.put(None)

        threading.Thread(target=call, name="canvas-start", daemon=True).start()
        try:
            error = None if self.stopped else self._woken.get()
        finally:
            ended.set()
        if error is not None and not self.stopped:
            raise error

    def hand_over(self) -> None:
        """Give a signal that arrived too early to the pool's handlers."""
        if self._signal is not None:
            signal.raise_signal(self._signal)


def end_while_loading() -> None:
    """Until the worker knows its app and tasks, a signal to stop ends the program, in good order.

    The system does not deliver a signal without a handler to a container's first process.
    """
    handle({number: _exit for number in STOPS if number != signal.SIGINT})


def _exit(number: int, frame: FrameType | None) -> None:
    sys.exit(0)
