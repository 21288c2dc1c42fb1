"""The values that drivers take and return, besides those of ``canvas.model``."""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from canvas.model.message import Delivery
from canvas.model.settlement import SettleResult

ORPHANS_AGAIN = 30.0
"""Seconds after which orphans that are not settled are handed out again."""
MISSED_FOR = 3.0
"""Seconds after its heartbeat has expired until a silent worker counts as dead. A live worker tries each second to
reach a server that was unreachable."""
MAY_COME_BACK = 60.0
"""Seconds in which a worker that counts as dead may still settle the tasks that it had begun, before others do."""
FORGOTTEN_AFTER = 120.0
"""Seconds after which the lease of a worker that is not registered has no holder: every worker that lives registers
itself with each heartbeat."""

CLOCKS_AGREE_WITHIN = 2.0
"""Seconds."""


def clock_offset(server_time: float, asked: float) -> float:
    """Seconds by which a server's clock is ahead of this machine's; 0 where they agree.

    ``server_time``: the server's reply. ``asked``: this machine's time before the call. Both are unix times. The server
    read its clock at some moment of the call, which may have taken long.
    """
    offset = max(0.0, server_time - time.time()) or min(0.0, server_time - asked)
    return offset if abs(offset) > CLOCKS_AGREE_WITHIN else 0.0


class Lease(NamedTuple):
    """A request for messages."""

    worker: str
    """The worker id; tags are ``canvas:<worker>:<n>``."""
    queues: Sequence[str]
    """The queues in the order in which they are read; all of one priority step before any of the next."""
    limit: int
    node: str = ""
    """Another worker id, whose ``wait`` may have moved messages aside; these come first."""
    expect: Callable[[bytes], object] | None = None
    """A driver may call it with the payload of a message that this lease will most likely take, while the server works
    on it. It raises nothing."""


class LeaseReply(NamedTuple):
    """The messages of a lease, and facts that the broker sends along with them."""

    deliveries: list[Delivery]
    revocations_version: int
    """A number that changes when anything is revoked."""
    clock_offset: float
    """Seconds by which the server's clock is ahead of this machine's; 0 where they agree."""
    passed_through: int = 0
    """How many of the messages were leased as they were written, and never lay in their list."""
    partial: bool = False
    """One of several servers was away."""


class SettleReply(NamedTuple):
    """The answer to one exchange with the servers."""

    verdicts: list[SettleResult]
    """One per settlement, in order."""
    dispatched: list[SettleResult]
    """One per chord that was dispatched."""
    leased: LeaseReply | None = None
    """Where a lease was asked for."""

    @property
    def deliveries(self) -> list[Delivery]:
        """The messages that were leased."""
        return self.leased.deliveries if self.leased is not None else []


class DeadLetter(NamedTuple):
    """A message that no worker could run."""

    payload: bytes
    reason: str
    queue: str
    time: float
    """Unix time, seconds, by the server's clock."""
    token: bytes = b""
    """The broker's identifier of it, where it has one."""


class Scheduled(NamedTuple):
    """A delayed message."""

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
    """The broker's reply to a heartbeat."""

    workers: int
    """How many workers send heartbeats, this one included."""
    known: bool
    """Whether this one was known already."""
