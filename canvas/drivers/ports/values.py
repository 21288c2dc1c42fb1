"""The values that drivers take and return, besides those of ``canvas.model``."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from canvas.model.message import Delivery
from canvas.model.settlement import (
    SettleResult,
)

ORPHANS_AGAIN = 30.0
"""Seconds after which orphans that nobody has settled are handed out again."""


class Binding(NamedTuple):
    """A queue and how an exchange reaches it (protocol.md §1.7)."""

    queue: str
    exchange: str
    routing_key: str
    type: str = "direct"
    """``direct``, ``topic`` or ``fanout``."""


class Lease(NamedTuple):
    """A request for messages."""

    worker: str
    """The worker id; tags are ``canvas:<worker>:<n>``."""
    queues: Sequence[str]
    """In the order they are to be looked at; all of one priority step before any of the next."""
    limit: int
    predecode: Callable[[bytes], object] = bytes
    """Called with a message that may be among those that come, while nothing but the answer is waited for. It raises
    nothing."""
    node: str = ""
    """Another worker id, whose ``wait`` may have moved messages aside; these come first."""


class SettleReply(NamedTuple):
    """The answer to one exchange with the servers."""

    verdicts: list[SettleResult]
    """One per settlement, in order."""
    deliveries: list[Delivery]
    fired: list[SettleResult]
    """One per firing."""


class DeadLetter(NamedTuple):
    """A message nobody could run."""

    payload: bytes
    reason: str
    queue: str
    time: float
    """Unix time, seconds, by the server's clock."""
    token: bytes = b""
    """What the broker knows it by."""


class Scheduled(NamedTuple):
    """A deferred message."""

    due: float
    """Unix time, seconds, by the server's clock."""
    queue: str
    payload: bytes


class InFlight(NamedTuple):
    """Messages that are in no queue now."""

    leased: int
    """Held by workers, Celery's among them."""
    delayed: int
    """Waiting for their eta."""
    blocked: int
    """Waiting for a permit under a concurrency limit."""


class HeartbeatReply(NamedTuple):
    """What a heartbeat found."""

    workers: int
    """How many workers there are, the dead with them that nobody has found out yet."""
    known: bool
    """Whether this one was known already."""
