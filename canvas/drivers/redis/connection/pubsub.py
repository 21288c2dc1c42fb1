"""A subscription that notices when its connection leads nowhere any more."""

import time
from contextlib import suppress
from typing import Any

from canvas.drivers.redis.connection.commands import UNAVAILABLE, poll_of


class Pulse:
    """Whether a subscription's connection still lives: one on which nothing comes looks like one that is cut off."""

    EVERY = 10.0
    """Seconds of silence after which to ask, and again after which it is given up."""

    def __init__(self) -> None:
        self._heard = time.monotonic()
        self._asked: float | None = None

    def heard(self) -> None:
        """Something came."""
        self._heard, self._asked = time.monotonic(), None

    def due(self) -> bool:
        """Whether to send a PING now. Raises ConnectionError when the last one was not answered."""
        now = time.monotonic()
        if self._asked is not None:
            if now - self._asked >= self.EVERY:
                raise ConnectionError(f"no answer to PING in {self.EVERY:g} s")
            return False
        if now - self._heard < self.EVERY:
            return False
        self._asked = now
        return True


class PubSub:
    """A subscription that notices when it is cut off. It raises redis' own errors."""

    def __init__(self, pubsub: Any) -> None:
        self.pubsub = pubsub
        self._pulse = Pulse()

    def next(self, seconds: float) -> dict[str, Any] | None:
        """The next message of any kind; ``None`` after so many seconds."""
        message = self.pubsub.get_message(timeout=max(0.0, seconds))
        if message is not None:
            self._pulse.heard()
        elif self._pulse.due():
            self.pubsub.ping()
        return message  # type: ignore[no-any-return]

    def leave(self) -> bool:
        """Listen to nothing any more; False when it was cut off."""
        try:
            self.pubsub.unsubscribe()
        except UNAVAILABLE:
            self.close()
            return False
        return True

    def again(self) -> bool:
        """Before it is used again: pass over what still came for those before; False when it was cut off meanwhile."""
        if self.pubsub.connection._sock is None:
            self.close()
            return False
        poll = poll_of(self.pubsub.connection)
        try:
            while poll.poll(0):
                if self.pubsub.get_message(timeout=0) is None:
                    raise ConnectionError("it was cut off")
        except UNAVAILABLE:
            self.close()
            return False
        self._pulse.heard()
        return True

    def close(self) -> None:
        """Close its connection."""
        with suppress(*UNAVAILABLE):
            self.pubsub.close()
