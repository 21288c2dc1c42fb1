"""Daemonic processes of ``multiprocessing`` that tasks have started: they end with the process that started them.

Python ends them as a program exits in order. A process of a worker often ends by ``os._exit()``, which skips that.
"""

import multiprocessing
import os
from multiprocessing.process import BaseProcess
from typing import NoReturn

from canvas.forks import in_forks

_inherited: set[BaseProcess] = set()
"""The daemonic processes that belong to a process from which this one was forked."""


def exit_at_once(code: int) -> NoReturn:
    """Terminate the daemonic processes that this process has started, and leave by ``os._exit()``."""
    try:
        for process in multiprocessing.active_children():
            if process.daemon and process not in _inherited:
                process.terminate()
    finally:
        os._exit(code)


@in_forks
def _note_inherited() -> None:
    _inherited.update(multiprocessing.active_children())
