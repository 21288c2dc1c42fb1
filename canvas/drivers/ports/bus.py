"""Broadcasts and replies: what remote control and events need of a broker."""

from contextlib import AbstractContextManager
from typing import Protocol


class Inbox(Protocol):
    """Envelopes as they arrive."""

    def next(self, timeout: float) -> bytes | None:
        """The next envelope; ``None`` after ``timeout`` seconds without one. Raises OperationalError when cut off."""


class Bus(Protocol):
    """Fanout exchanges to all workers, and queues for replies."""

    def broadcast(self, exchange: str, payload: bytes, routing_key: str = "") -> None:
        """Send an envelope to everyone who listens to a fanout exchange now (protocol.md §1.8); with a routing key,
        to those who listen to its topics."""

    def subscribe(self, exchange: str, topics: bool = False, node: str = "") -> AbstractContextManager[Inbox]:
        """What is broadcast to a fanout exchange from now on: without a routing key, or with any. ``node``: the name of
        the worker that reads it; its broker may keep broadcasts for it while it is away."""

    def reply(self, exchange: str, routing_key: str, payload: bytes) -> None:
        """Send an envelope to whoever waits in ``replies``; nowhere, silently, when nobody does any more."""

    def replies(self, exchange: str, routing_key: str) -> AbstractContextManager[Inbox]:
        """A queue of one's own behind a direct exchange, for replies; gone at the end."""
