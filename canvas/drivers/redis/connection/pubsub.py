"""A subscription that notices when its connection is cut off."""

import time
from typing import Any, NamedTuple

from canvas.drivers.redis.connection.connecting import Connector
from canvas.drivers.redis.connection.resp import NOTHING
from canvas.interruptions import raise_interruption

AT_ONCE = 1000
"""Channels or keys in one command."""


class Keepalive:
    """Whether a subscription's connection still lives: one on which nothing comes looks like one that is cut off."""

    EVERY = 10.0
    """Seconds of silence after which to ask, and again after which it is given up."""

    def __init__(self) -> None:
        self._heard = time.monotonic()
        self._asked: float | None = None

    def heard(self) -> None:
        """The server has sent something: the connection works."""
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


class Pushed(NamedTuple):
    """One thing that a subscription received: a message, or the reply to one of its commands."""

    kind: str
    """``message``, ``pmessage``, ``subscribe``, ``unsubscribe``, ``pong`` …"""
    channel: bytes
    data: Any


class PubSub:
    """A subscription that notices when it is cut off. It raises OSError, and Refusal."""

    def __init__(self, connector: Connector) -> None:
        self._connector = connector
        self._connection = connector.connection()
        self._keepalive = Keepalive()

    def subscribe(self, *channels: bytes | str) -> None:
        """Subscribe to channels. ``next`` returns the replies of the server, too."""
        self._send("SUBSCRIBE", *channels)

    def psubscribe(self, pattern: str) -> None:
        """Subscribe to every channel that fits ``pattern``."""
        self._send("PSUBSCRIBE", pattern)

    def next(self, seconds: float) -> Pushed | None:
        """The next message of any kind; ``None`` when none has come within ``seconds``."""
        reply = self._connection.receive_within(max(0.0, seconds))
        if reply is NOTHING:
            if self._keepalive.due():
                self._send("PING")
            return None
        self._keepalive.heard()
        if not isinstance(reply, list):  # the answer to a PING where there is no channel
            return Pushed("pong", b"", reply)
        return Pushed(reply[0].decode(), reply[-2] or b"", reply[-1])

    def leave(self) -> bool:
        """Unsubscribe from all channels; False when the connection was cut off."""
        try:
            self._send("UNSUBSCRIBE")
        except OSError as exc:
            self.close()
            raise_interruption(exc)
            return False
        return True

    def again(self) -> bool:
        """Before it is used again: read the messages that still came for its last user; False when it was cut off
        meanwhile."""
        try:
            while self._connection.receive_within(0) is not NOTHING:
                continue
        except OSError as exc:
            self.close()
            raise_interruption(exc)
            return False
        self._keepalive.heard()
        return True

    def close(self) -> None:
        """Close its connection."""
        self._connector.drop(self._connection)

    def _send(self, *words: bytes | str) -> None:
        self._connection.send([words])
