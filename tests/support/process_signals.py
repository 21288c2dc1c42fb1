"""Stop processes for a while, let them go on, and kill them."""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

_STOPPED = "TtZX"
"""States of a thread that runs no more instructions: stopped, traced, or ended."""
_WITHIN = 20.0


def suspend(*pids):
    """Returns when none of their threads runs any more.

    ``kill`` returns before that: on a busy machine another thread of the process may still handle what arrives
    before the first one takes the signal.
    """
    _send(signal.SIGSTOP, pids)
    deadline = time.monotonic() + _WITHIN
    for pid in pids:
        while not all(state in _STOPPED for state in _states(pid)):
            assert time.monotonic() < deadline, f"process {pid} did not stop: {_states(pid)}"
            time.sleep(0.001)


def resume(*pids):
    _send(signal.SIGCONT, pids)


def kill(*pids):
    _send(signal.SIGKILL, pids)


def _send(number, pids):
    for pid in pids:
        with suppress(ProcessLookupError):  # it ended meanwhile
            os.kill(pid, number)


def _states(pid):
    """Of the threads of a process."""
    return [_state(thread) for thread in Path(f"/proc/{pid}/task").glob("*/stat")]


def _state(path):
    try:
        return path.read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "X"  # it ended meanwhile
