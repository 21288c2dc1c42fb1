"""Building much at once without the garbage collector."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

PAUSE_FROM: Final = 100
"""From this many signatures or messages on, a pause is worth its calls."""


@contextmanager
def gc_paused() -> Iterator[None]:
    """Pause the garbage collector while many objects are made that all stay alive."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
