"""Standard output and standard error of a worker, as lines of its log."""

import io
import logging
import sys
import threading
from collections.abc import Callable
from typing import Any

from canvas.log import REDIRECTED_LOGGER
from canvas.telemetry import attach

_LONGEST = 1 << 16
"""Characters that are kept of a line that does not end."""


class Redirected(io.TextIOBase):
    """A stream whose lines are logged.

    A thread's text is logged when its line ends, when it flushes the stream, or when its task ends. Text that
    handlers of the logger print themselves is dropped: it would be logged again.
    """

    mode = "w"
    name = f"<{REDIRECTED_LOGGER}>"
    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(self, level: int) -> None:
        self._logger = logging.getLogger(REDIRECTED_LOGGER)
        self._level = level
        self._local = threading.local()
        self._unended = threading.Lock()
        """Held from the first time that a thread has written a line without its end."""
        self._detach: Callable[[], None] | None = None

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        lines, newline, rest = (getattr(self._local, "text", "") + text).rpartition("\n")
        self._local.text = rest
        if rest and self._unended.acquire(blocking=False):
            self._detach = attach(self.flush_after_task, "task.finished")
        if newline:
            self._log(lines)
        if len(rest) > _LONGEST:
            self.flush()
        return len(text)

    def flush(self) -> None:
        text = getattr(self._local, "text", "")
        if text:
            self._local.text = ""
            self._log(text)

    def flush_after_task(self, **_: Any) -> None:
        """Log what the task of this thread has left of a line."""
        self.flush()

    def close(self) -> None:
        """Log what is left; the stream stays open, because later tasks of the process print too."""
        self.flush()

    def end(self) -> None:
        """Log the text that is left. The text that later tasks leave is not logged."""
        self.flush()
        if self._detach is not None:
            self._detach()

    def _log(self, text: str) -> None:
        if getattr(self._local, "logging", False):
            return
        self._local.logging = True
        try:
            for line in text.split("\n"):
                if line.strip():
                    self._logger.log(self._level, "%s", line)
        finally:
            self._local.logging = False


def redirect(level: int) -> Callable[[], None]:
    """Log what is written to ``sys.stdout`` and ``sys.stderr``, at ``level``; the returned function ends that."""
    before = sys.stdout, sys.stderr
    stream: Any = Redirected(level)
    sys.stdout = sys.stderr = stream

    def restore() -> None:
        stream.end()
        if sys.stdout is stream:
            sys.stdout = before[0]
        if sys.stderr is stream:
            sys.stderr = before[1]

    return restore


def show_lines_at_once() -> None:
    """Write each line of standard output when it ends, also where that is a file or a pipe."""
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(line_buffering=True)
