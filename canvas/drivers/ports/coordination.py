"""The state that workers share through a broker: revocations, rates, permits, locks."""

from collections.abc import Sequence
from typing import Protocol

from canvas.drivers.retry_policy import Delays
from canvas.model.message import Delivery, Publish
from canvas.model.settlement import (
    UniqueLock,
)


class Coordination(Protocol):
    """State that all workers of a broker share."""

    def revoke(self, entries: Sequence[str], seconds: float) -> None:
        """Keep each entry, a text that workers understand, for ``seconds``."""

    def revoked(self) -> tuple[int, list[str]]:
        """The version of the revocations (as in ``LeaseReply``), and the entries that are kept now."""

    def reserve_rate_slot(self, key: str, interval: float) -> float:
        """Reserve the next start of a task that may start once in ``interval`` seconds. Returns its unix time by the
        server's clock; 0: now."""

    def acquire_permit(self, key: str, limit: int, delivery: Delivery) -> bool:
        """Take one of a key's permits for a leased message, until a settlement releases it or the lease is gone.

        Returns False if the message must not run: either the lease was lost, or all permits are taken. In the second
        case the message is no longer leased, and is blocked until a permit is free. Safe to call again.
        """

    def enqueue_blocked(self) -> int:
        """Return blocked messages to their queues where permits are free because their holders died. Returns their
        number."""

    def publish_unique(self, message: Publish, lock: UniqueLock, seconds: float, delays: Delays = None) -> str | None:
        """Publish a message and take the lock for ``seconds`` at most. If the lock is taken already, publish nothing
        and return its owner."""

    def release_lock(self, lock: UniqueLock) -> None:
        """Release the lock, if it is still the owner's."""
