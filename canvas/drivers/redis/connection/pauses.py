"""How long to wait between tries while a server is unreachable, and until when to try."""

import time
from collections.abc import Iterator
from random import random

TRIES = 6
"""The number of tries after the first."""
FIRST_PAUSE = 0.05
"""Seconds, half of the longest that the first may take; each of the next may take twice as long."""
LONGEST_PAUSE = 1.0
PAUSE = 0.2
"""Seconds between two tries to subscribe again."""
_GIVE_UP_AFTER = 60.0


def pauses() -> Iterator[float]:
    """Seconds before each further try: random, so that many clients do not come back at one moment."""
    return (min(LONGEST_PAUSE, random() * FIRST_PAUSE * 2**failures) for failures in range(1, TRIES + 1))


class ReconnectDeadline:
    """How long a server that is unreachable is waited for."""

    def __init__(self) -> None:
        self._until = 0.0
        self.renew()

    def renew(self) -> None:
        """The server answers: count the time from the next failure on."""
        self._until = time.monotonic() + _GIVE_UP_AFTER

    def over(self) -> bool:
        return time.monotonic() >= self._until
