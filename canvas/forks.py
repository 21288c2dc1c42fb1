"""Resets for a process that is forked from this one.

A forked process starts as a copy of its parent. It has the parent's signal handlers, open connections and locks, but
only the thread that forked it. :func:`in_forks` registers functions that reset these in the new process.
"""

import os
from collections.abc import Callable
from contextlib import ExitStack
from itertools import count

_resets: dict[int, Callable[[], None]] = {}
_numbers = count()


def in_forks(reset: Callable[[], None]) -> Callable[[], None]:
    """Call ``reset`` in each process that is forked from now on, before other code runs there.

    Processes that are forked by such a process call it too. The returned function ends the registration.
    """
    number = next(_numbers)
    _resets[number] = reset

    def forget() -> None:
        _resets.pop(number, None)

    return forget


def _reset() -> None:
    # The stack calls the other functions when one of them raises.
    with ExitStack() as stack:
        for reset in reversed(list(_resets.values())):
            stack.callback(reset)


os.register_at_fork(after_in_child=_reset)
