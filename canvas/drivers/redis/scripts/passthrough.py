"""What one call of settle.lua leases from, and the one message that it may send there itself."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from canvas.model.settlement import ChordDispatch, Settlement


class LeaseSources(NamedTuple):
    """The lists that a lease takes from, in their order."""

    lists: Sequence[str] = ()
    names: Sequence[str] = ()
    """The queue that each belongs to."""


class PassThrough(NamedTuple):
    """The only message of a call, into a list that the call leases from: where nothing waits there, the script leases
    it as it comes, and need neither be handed it as a list's element nor send it back."""

    key: str
    """The list."""
    payload: bytes
    queue: str
    tail: bytes
    """What stands after the payload in the record of its lease."""

    @property
    def record(self) -> bytes:
        """As it stands in ``unacked``."""
        return b"[" + self.payload + self.tail

    @property
    def words(self) -> list[Any]:
        """What the script is told of it."""
        return [self.key, False, len(self.tail), self.queue]


def may_carry(settlements: Sequence[Settlement], firings: Sequence[ChordDispatch]) -> bool:
    """Whether nothing else of the call can put anything into a list, so that no order is to be kept."""
    if len(settlements) != 1 or firings:
        return False
    (one,) = settlements
    return len(one.publishes) == 1 and not (one.foreseen or one.frees or one.disposal in ("requeue", "redeliver"))


def carry(payload: bytes, lists: Sequence[str], sources: LeaseSources) -> PassThrough | None:
    """A message that goes into ``lists``, if the call may lease it."""
    # What is no JSON object is put into a string by the script.
    if len(lists) != 1 or lists[0] not in sources.lists or not payload.startswith(b"{"):
        return None
    queue = sources.names[sources.lists.index(lists[0])]
    return PassThrough(lists[0], payload, queue, f',"",{json.dumps(queue)}]'.encode())
