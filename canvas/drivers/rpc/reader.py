"""Reads the results that come to this process, on a thread of its own."""

import threading
import time
from abc import ABC, abstractmethod

from canvas.errors import OperationalError, RefusedError

_AGAIN = 0.5
"""Seconds until the next try to connect."""


class ReplyReader(ABC):
    """The thread, which connects again where it is cut off. The broker then has the messages that were not read."""

    def __init__(self) -> None:
        self.closed = False
        self._looked = threading.Event()
        self._earlier_are_read = False
        self._error: OperationalError | RefusedError | None = None

    @abstractmethod
    def read(self) -> None:
        """Read until ``closed``, and call ``read_earlier`` when the messages that were in the queue are read."""

    def start(self) -> "ReplyReader":
        """Begin to read."""
        threading.Thread(target=self._run, name="canvas-replies", daemon=True).start()
        return self

    def read_earlier(self) -> None:
        """The messages that were in the queue at the start are read."""
        self._earlier_are_read = True
        self._looked.set()

    def wait_until_ready(self, seconds: float) -> None:
        """Return when the messages that were in the queue at the start are read. Raises OperationalError or
        RefusedError while they cannot be."""
        self._looked.wait(seconds)
        if self._error is not None and not self._earlier_are_read:
            raise self._error

    def close(self) -> None:
        """End the thread."""
        self.closed = True

    def _run(self) -> None:
        while not self.closed:
            try:
                self.read()
            except (OperationalError, RefusedError) as exc:
                self._error = exc
                self._looked.set()
                time.sleep(_AGAIN)
