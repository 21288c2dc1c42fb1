"""Python's own settings, as they suit a process that runs many short tasks."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_SWITCH_WITHIN = 0.002
"""Seconds that the thread which comes back from the broker waits at most for a slot that runs Python, where that is the
only one; by default it is longer, and the slot may be through with all that is leased."""
_YOUNG_BY_DEFAULT = (700, 2000)
_YOUNG = 5_000
"""New objects that the garbage collector waits for, instead of Python's own number; a task makes a hundred. A number
that the application has set stays."""


@contextmanager
def interpreter_for_tasks(one_slot: bool) -> Iterator[None]:
    """Python's own settings, as they suit many short tasks; afterwards they are as before."""
    switch, young = sys.getswitchinterval(), gc.get_threshold()
    if one_slot:
        sys.setswitchinterval(_SWITCH_WITHIN)
    if young[0] in _YOUNG_BY_DEFAULT:
        gc.set_threshold(_YOUNG, *young[1:])
    try:
        yield
    finally:
        sys.setswitchinterval(switch)
        gc.set_threshold(*young)
