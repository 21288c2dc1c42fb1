"""Heartbeats of workers, and the recovery of the messages of dead ones."""

from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from canvas.drivers.ports.values import HeartbeatReply
from canvas.model.message import Delivery
from canvas.model.settlement import Orphan


class Recovery(Protocol):
    """Heartbeats, leases, and the messages of workers that are gone."""

    silence: float
    """Seconds without a heartbeat after which the broker itself delivers a worker's messages to others; ``inf``: it
    waits until another worker finds that the heartbeat has expired."""

    def heartbeat(self, worker: str, queues: Sequence[str], ttl: float) -> HeartbeatReply:
        """Count the worker as live for ``ttl`` seconds more, and renew all its leases."""

    def rest(self, worker: str) -> bool:
        """Unregister a worker that holds no message, until its next heartbeat; False when it holds one."""

    def release_unknown(self, worker: str, held: Collection[str]) -> int:
        """Return the messages whose leases the broker lists and their worker does not hold: the broker has lost their
        settlements. Returns their number. ``held``: all the tags that the worker holds."""

    def unregister(self, worker: str) -> None:
        """Unregister the worker, and return the messages that it still holds."""

    def mark_started(self, delivery: Delivery) -> None:
        """Note that a message which was returned before is about to run: if its worker dies now, the delivery
        counts."""

    def recover_worker(self, worker: str) -> int:
        """Return the messages of a worker that is known to be dead, although its heartbeat has not expired.

        The header ``canvas_delivery_count`` counts deliveries: the first one of each message, and after that only those
        for which ``mark_started`` was called. So a message is not counted that was only held while another one killed
        the worker.
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

    def on_broken(self, call: Callable[[], object]) -> None:
        """Call a function whenever this process has lost a connection with which its leases end."""

    def still_leased(self, delivery: Delivery, early_acked: bool) -> bool:
        """Whether this process still has the lease of a message. ``early_acked``: it is acked already, and its end is
        awaited. Raises BrokerError."""

    def leased_message(self, tag: str) -> bytes | None:
        """The message of a lease that is held, or that was acked early and whose task runs."""

    def orphan_lease(self, tag: str, reason: str) -> bool:
        """Make an orphan of a leased message, because the process that runs its task is about to be killed for it.
        Returns whether the lease was held."""

    def recover_dead_workers(self) -> int:
        """Return the messages that dead workers held to their queues, marked as redelivered. Returns their number. One
        caller at a time does the work; meanwhile others return 0."""
