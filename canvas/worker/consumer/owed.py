"""Settlements that are owed to one of several servers, which is away while the others answer."""

import time
from collections.abc import Sequence
from queue import SimpleQueue

from canvas.drivers.ports.settler import PartlySettled, Settler
from canvas.drivers.ports.values import Lease, SettleReply
from canvas.model.settlement import ChordDispatch, Settlement

_TRIED_EVERY = 1.0
"""Seconds between two attempts to settle what is owed."""
Ack = tuple[Settlement, "SimpleQueue[bool]"]


def settled_as_far(
    settler: Settler, settlements: Sequence[Settlement], lease: Lease | None, ends: Sequence[ChordDispatch]
) -> SettleReply:
    """Settle what can be settled now. Verdicts on the rest are ``owed``. Raises BrokerError when nothing can be."""
    try:
        return settler.settle(settlements, lease, ends)
    except PartlySettled as exc:
        return exc.reply


class Owed:
    """What a process has to settle again, in order."""

    def __init__(self) -> None:
        self.items: list[Settlement | ChordDispatch] = []
        self.acks: list[Ack] = []
        """Acks that slots wait for."""
        self.partial = False
        """A server was away in the latest round."""
        self._at = 0.0

    def __bool__(self) -> bool:
        return bool(self.items or self.acks)

    def note(self, reply: SettleReply) -> bool:
        """Note whether a server was away; whether all are back after that."""
        before = self.partial
        leased = reply.leased
        self.partial = (leased.partial if leased is not None else before) or any(
            verdict.owed for verdict in (*reply.verdicts, *reply.dispatched)
        )
        if self.partial:
            self._at = time.monotonic() + _TRIED_EVERY
        return before and not self.partial

    def due(self) -> tuple[list[Ack], list[Settlement | ChordDispatch]]:
        """What is to be tried now."""
        if not self or time.monotonic() < self._at:
            return [], []
        acks, items = self.acks, self.items
        self.acks, self.items = [], []
        return acks, items
