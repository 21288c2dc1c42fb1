"""Ids as Celery writes them, UUIDs of version 4 as text, and those that a message inherits."""

from os import urandom
from typing import NamedTuple

_VARIANTS = dict(zip("0123456789abcdef", "89ab" * 4, strict=True))
"""Maps a random digit to the digit of a UUID that names its variant: 8, 9, a or b."""


def new_id() -> str:
    """A task's id, which cannot be guessed."""
    # The UUID class takes more than twice as long to make this text.
    digits = urandom(16).hex()
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{_VARIANTS[digits[16]]}{digits[17:20]}-{digits[20:]}"


class Lineage(NamedTuple):
    """The fields that a message inherits from the task that sends it; all ``None`` outside a task."""

    root_id: str | None = None
    parent_id: str | None = None
    priority: int | None = None


def outermost_run(run: str) -> str:
    """The run around a workflow's run that is in the place of no other run's task: the run itself, or one around it."""
    return run.partition(".")[0]
