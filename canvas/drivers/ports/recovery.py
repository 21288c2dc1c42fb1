"""How a worker stays known to a broker, and what becomes of the messages of a dead one."""

from collections.abc import Collection, Sequence
from typing import Protocol

from canvas.drivers.ports.values import HeartbeatReply
from canvas.model.message import Delivery
from canvas.model.settlement import (
    Orphan,
)


class Recovery(Protocol):
    """Heartbeats, leases, and the messages of workers that are gone."""

    def heartbeat(self, worker: str, queues: Sequence[str], ttl: float) -> HeartbeatReply:
        """Say that the worker lives for ``ttl`` seconds more, and renew all its leases."""

    def rest(self, worker: str) -> bool:
        """Forget a worker that holds nothing, until its next heartbeat; False when it holds something."""

    def release_unknown(self, worker: str, held: Collection[str]) -> int:
        """Return the messages whose leases the broker lists and their worker does not hold: the broker has lost their
        settlements. Returns their number. ``held``: all the tags that the worker holds."""

    def unregister(self, worker: str) -> None:
        """Forget the worker, giving back whatever it still holds."""

    def mark_started(self, delivery: Delivery) -> None:
        """A message that was given back before is about to run: if its worker dies now, that counts."""

    def recover_worker(self, worker: str) -> int:
        """The worker is known to be dead: give back at once what it held.

        Deliveries are counted in the header ``canvas_delivery_count``: the first time of each message, and then only of
        those that ``mark_started`` was called for: a message that was only held beside a deadly one is not blamed.
        """

    def has_orphans(self) -> bool:
        """Whether ``claim_orphans`` may find something, now or later."""

    def claim_orphans(self) -> list[Orphan]:
        """Messages that dead workers had acked before they ran them, for the caller to settle (fence ``early_acked``).
        No other caller gets them for ``ORPHANS_AGAIN`` seconds."""

    def lease_number(self, tag: str) -> int:
        """The number that names a lease among those of its worker."""

    def lease_tag(self, worker: str, number: int) -> str:
        """The tag of the lease that has this number among a worker's."""

    def leases(self, worker: str) -> list[Delivery]:
        """The messages that a worker holds and has not acked."""

    def leased_message(self, tag: str) -> bytes | None:
        """The message of a lease that is held, or was acked and runs."""

    def orphan_lease(self, tag: str, reason: str) -> bool:
        """The process that runs this lease's message is killed for it: make an orphan of it; whether it was held."""

    def recover_dead_workers(self) -> int:
        """Give back what dead workers held (marked redelivered); how many messages. One caller at a time
        does the work, others return 0."""
