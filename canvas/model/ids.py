"""Ids as Celery writes them, UUIDs of version 4 as text, and those that a message inherits."""

from os import urandom
from random import getrandbits
from typing import NamedTuple

_VARIANT = "89ab" * 4


def new_id() -> str:
    """A task's id, which cannot be guessed."""
    return _text(urandom(16).hex())


def new_tag() -> str:
    """A delivery tag: unique, but not hard to guess, since the system's random bytes cost a call each."""
    return _text(f"{getrandbits(128):032x}")


def _text(digits: str) -> str:
    """The UUID that 32 random hexadecimal digits make; the ``UUID`` class takes more than twice as long for it."""
    variant = _VARIANT[int(digits[16], 16)]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


class Lineage(NamedTuple):
    """The fields that a message inherits from the task that sends it; all ``None`` outside a task."""

    root_id: str | None = None
    parent_id: str | None = None
    priority: int | None = None
