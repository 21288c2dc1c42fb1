"""Python's standard output streams at the moments when a worker process forks or ends."""

import os
import sys

from canvas.telemetry import emit

_reported: set[str] = set()


def open_missing() -> None:
    """Open /dev/null where the program was started with standard input, output or error closed.

    Otherwise the next file or socket gets that number, and programs that tasks start take it for their output.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - it stays open


def flush() -> bool:
    """Write what Python still buffers of its standard output and standard error streams. Returns whether all could be
    written.

    Raises nothing: tasks may close or replace these streams, and the program that reads them may have ended. What
    cannot be written is lost, which is reported once for each stream.
    """
    streams = {id(getattr(sys, name)): name for name in ("__stdout__", "__stderr__", "stdout", "stderr")}
    return all([_flushed(name) for name in streams.values()])


def _flushed(name: str) -> bool:
    stream = getattr(sys, name)
    try:
        if stream is not None and not getattr(stream, "closed", False):
            getattr(stream, "flush", _nothing)()
    except Exception as exc:  # noqa: BLE001 - the stream may be any object that a task has put there
        if name not in _reported:
            _reported.add(name)
            emit("worker.output_lost", stream=name.strip("_"), error=str(exc))
        return False
    return True


def _nothing() -> None:
    """A stream without ``flush`` buffers nothing that could be written here."""


def drop_unwritable() -> None:
    """Before the program ends: Python would end it with exit code 120 where standard output cannot be written."""
    if not _flushed("stdout"):
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - it stays open
