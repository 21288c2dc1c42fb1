"""Broadcasts and replies, for remote control and events."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol


class Inbox(Protocol):
    """Envelopes as they arrive."""

    def next(self, timeout: float) -> bytes | None:
        """The next envelope; ``None`` after ``timeout`` seconds without one. Raises OperationalError when cut off."""


class Bus(Protocol):
    """Fanout exchanges to all workers, and queues for replies."""

    def broadcast(self, exchange: str, payload: bytes, routing_key: str = "") -> None:
        """Send an envelope to all present subscribers of a fanout exchange (protocol.md §1.8); with a routing key, to
        the subscribers of its topics."""

    def subscribe(self, exchange: str, topics: bool = False, node: str = "") -> AbstractContextManager[Inbox]:
        """The messages that are broadcast to a fanout exchange from now on, with any routing key or without one.
        ``node``: the name of the worker that reads them; the broker may keep broadcasts for it while it is
        unreachable."""

    @property
    def fanout(self) -> Callable[[str, str], AbstractContextManager[Inbox]] | None:
        """Where queues get no copies of the tasks that are sent to a fanout exchange: a call, with the exchange and the
        routing key of a binding, that subscribes to these tasks. ``None`` where queues are bound to such exchanges."""

    def reply(self, exchange: str, routing_key: str, payload: bytes) -> None:
        """Send an envelope to the client that waits in ``replies``. Without one the envelope is dropped."""

    def replies(self, exchange: str, routing_key: str) -> AbstractContextManager[Inbox]:
        """A queue for replies behind a direct exchange, which is deleted at the end."""
