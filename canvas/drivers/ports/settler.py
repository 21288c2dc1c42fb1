"""Commits settlements across broker and results."""

from collections.abc import Sequence
from typing import Protocol

from canvas.drivers.ports.values import Lease, SettleReply
from canvas.drivers.retry_policy import Delays
from canvas.errors import OperationalError
from canvas.model.message import Publish
from canvas.model.settlement import (
    ChordDispatch,
    ChordStart,
    ReadyChord,
    Settlement,
    SettleResult,
)


class PartlySettled(OperationalError):
    """One of several servers is away. The others have done what is in ``reply``; the rest of it is ``unsettled``."""

    def __init__(self, message: str, reply: SettleReply) -> None:
        super().__init__(message)
        self.reply = reply


class Settler(Protocol):
    """Commits the ends of tasks and chords, across broker and results."""

    def settle(
        self,
        settlements: Sequence[Settlement],
        lease: Lease | None = None,
        ends: Sequence[ChordDispatch] = (),
    ) -> SettleReply:
        """End chords, commit settlements, each whole or not at all, and lease more, in the same exchange.

        Where broker and results share a server all of it is one atomic call. Otherwise, for each settlement: check that
        the lease is held; write records and parts (idempotent); then commit messages and ack in one atomic call.

        Raises PartlySettled where one of several servers is away and something is left to settle.
        """

    def publish_with_chords(
        self, chord_starts: Sequence[ChordStart], messages: Sequence[Publish], delays: Delays = None
    ) -> None:
        """Start chords, and then publish; at once where broker and results share a server, except for messages that are
        too many for one call. Raises RefusedError."""

    def dispatch_chord(self, end: ChordDispatch) -> SettleResult:
        """Send a ready chord's body exactly once; ``held`` is False when another worker has done so.

        ``ready`` are outer chords that this one's own parts completed.
        """

    def stale_ready_chords(self, older_than: float) -> list[ReadyChord]:
        """Chords that have been ready for ``older_than`` seconds and whose body no worker has sent; and those that have
        had parts, but no size for a long time."""

    def renew(self, every: float) -> int:
        """Prolong the keys of the chords that have not ended, which other workers may let expire sooner. Returns how
        many chords were looked at.

        Of all callers together, one does so in ``every`` seconds; the others get 0.
        """
