"""Whether a process may conclude that silent workers are dead: only if it has had the server itself meanwhile."""

import time


class Absence:
    """When a process was last without its server, by its own monotonic clock.

    Workers that live send a heartbeat each second after their server was unreachable, so that one which stays silent
    for some seconds is dead. A process that was suspended, or has just started, does not know since when the server has
    been reachable.
    """

    def __init__(self) -> None:
        self._until = self._last_beat = time.monotonic()

    def note(self) -> None:
        """The server did not answer."""
        self._until = time.monotonic()

    def beat(self, ttl: float) -> None:
        """This process is about to send a heartbeat that is good for ``ttl`` seconds. If the one before has expired, it
        was suspended, or too slow."""
        now = time.monotonic()
        if now - self._last_beat > ttl:
            self._until = now
        self._last_beat = now

    def over_for(self, seconds: float) -> bool:
        """Whether this process has had the server for at least this many seconds."""
        return time.monotonic() - self._until >= seconds
