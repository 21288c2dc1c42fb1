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
        """Take the next turn of what may happen once in ``interval`` seconds: its unix time by the server's clock; 0
        when it is now."""

    def acquire_permit(self, key: str, limit: int, delivery: Delivery) -> bool:
        """Take one of a key's permits for a leased message, until a settlement ``frees`` it or its lease is gone.

        False: it is not to run. All permits are taken, and the message waits, no longer leased, for one to be free;
        or the lease was lost already. Safe to call again.
        """

    def enqueue_blocked(self) -> int:
        """Return messages that wait for a permit to their queues, where permits are free because their holders died;
        how many were returned."""

    def publish_unique(self, message: Publish, lock: UniqueLock, seconds: float, delays: Delays = None) -> str | None:
        """Publish a message and take the lock, for ``seconds`` at most. Where the lock is taken, send nothing, and
        return its owner."""

    def release_lock(self, lock: UniqueLock) -> None:
        """Free the lock, if it is still the owner's."""
