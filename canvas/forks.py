"""Resets for a process that is forked from this one.

A forked process starts as a copy of its parent. It has the parent's signal handlers, open connections and locks, but
only the thread that forked it. :func:`in_forks` registers functions that reset these in the new process.
"""

import os
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from itertools import count
from types import MethodType
from weakref import WeakMethod

Reset = Callable[[], None]

_resets: dict[int, Callable[[], Reset | None]] = {}
"""By number, what finds the function: ``None`` when it was the method of an object that is gone."""
_numbers = count()
_gone: deque[int] = deque()
"""Numbers of methods of such objects. An object may go while the dict is read, which must not change it."""


def in_forks(reset: Reset) -> Callable[[], None]:
    """Call ``reset`` in each process that is forked from now on, before other code runs there.

    Processes that are forked by such a process call it too. A method is registered for as long as its object lives, and
    does not keep it alive. The returned function ends the registration.
    """
    while _gone:
        _resets.pop(_gone.popleft(), None)
    number = next(_numbers)
    if isinstance(reset, MethodType):
        _resets[number] = WeakMethod(reset, lambda _: _gone.append(number))
    else:
        _resets[number] = lambda: reset

    def forget() -> None:
        _resets.pop(number, None)

    return forget


def _reset() -> None:
    # The stack calls the other functions when one of them raises.
    with ExitStack() as stack:
        for find in reversed(list(_resets.values())):
            reset = find()
            if reset is not None:
                stack.callback(reset)


os.register_at_fork(after_in_child=_reset)
