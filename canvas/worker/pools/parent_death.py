"""The end of a prefork child whose parent dies: the system kills it at once, whatever task it runs.

No process would renew the child's leases, replace it or stop it any more. Other workers run its messages again as those
of any dead worker, so it must not go on with a task.
"""

import ctypes
import os
import signal
import sys
import threading
import time

_PR_SET_PDEATHSIG = 1
"""From ``<linux/prctl.h>``."""
_LOOK_EVERY = 1.0
"""Seconds."""


def end_with_parent(parent: int) -> None:
    """Have this process killed when ``parent``, which has forked it, ends.

    ``parent`` was read before the fork: it may have died since. On Linux the process also ends when the thread that
    forked it does.
    """
    if not _killed_by_kernel():
        threading.Thread(target=watch, args=(parent,), name="canvas-parent-watch", daemon=True).start()
    if os.getppid() != parent:
        _end()


def _killed_by_kernel() -> bool:
    """Ask Linux for SIGKILL at the parent's death, which also ends a task that holds the interpreter in C code; False
    where the system has no such service, or refuses it."""
    if not sys.platform.startswith("linux"):
        return False
    return bool(ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL)) == 0)


def watch(parent: int) -> None:
    """Kill this process once it is no longer a child of ``parent``."""
    while os.getppid() == parent:
        time.sleep(_LOOK_EVERY)
    _end()


def _end() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
