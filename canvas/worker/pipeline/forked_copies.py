"""Processes that a task forks with ``os.fork()`` and does not end itself.

Such a process is a copy of the worker. When the task's function returns or raises in it, the copy stands in the
worker's code, with the parent's leases. The parent alone settles the task, so the copy ends there.
"""

import os
import sys
import traceback
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn

from canvas.forks import in_forks
from canvas.model.outcome import Failure, Outcome, Success
from canvas.worker.logs.streams import flush


class CopyCheck:
    """Whether the process is still the one in which this was made, or a copy of it.

    ``is_copy`` is an attribute, because it is read after each task.
    """

    def __init__(self) -> None:
        self.is_copy = False
        check = weakref.ref(self)

        def reset() -> None:
            if (found := check()) is not None:
                found.is_copy = True

        weakref.finalize(self, in_forks(reset)).atexit = False

    def end(self, ended: Outcome | BaseException) -> None:
        """End the process if it is a copy, whose task came to ``ended``."""
        if self.is_copy:
            end_copy(ended)

    def within(self, limited: Callable[[Callable[[], Any]], Any], call: Callable[[], Any]) -> Any:
        """``limited(call)``; a copy ends before it leaves ``limited``, whose lock another thread of its parent may have
        held at the fork."""

        def checked() -> Any:
            try:
                value = call()
            except BaseException as exc:
                self.end(exc)
                raise
            self.end(Success(value))
            return value

        return limited(checked)


def end_copy(ended: Outcome | BaseException) -> NoReturn:
    """End the process as Python would: with the code of SystemExit, with 1 after the traceback of another exception,
    with 0 after a value. Functions that the worker has registered with ``atexit`` are not called."""
    code = 1
    try:
        code = _code_of(ended)
        flush()
    finally:
        os._exit(code)


def _code_of(ended: Outcome | BaseException) -> int:
    match ended:
        case Success():
            return 0
        case SystemExit(code=None):
            return 0
        case SystemExit(code=int(code)):
            return code & 0xFF
        case SystemExit(code=text):
            shown = f"{text}\n"
        case Failure(exc):
            shown = "".join(traceback.format_exception(exc))
        case BaseException():
            shown = "".join(traceback.format_exception(ended))
        case _:
            shown = f"a forked process ended its task with {ended!r}, which has no effect there\n"
    with suppress(OSError, ValueError):
        sys.stderr.write(shown)
    return 1
