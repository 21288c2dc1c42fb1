"""The lists that one call of settle.lua leases from, and the one message that it may send there itself."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from canvas.drivers.ports.values import Lease
from canvas.drivers.redis.keys import BrokerKeys
from canvas.drivers.redis.queue_wait import QueueWait
from canvas.model.settlement import ChordDispatch, Settlement


class LeaseSources(NamedTuple):
    """The lists that a lease takes from, in their order."""

    lists: Sequence[str] = ()
    names: Sequence[str] = ()
    """The queue that each belongs to."""


_NO_SOURCES = LeaseSources()
_ORDERS_KEPT = 256
"""Orders of queues whose lists are kept: a worker that takes turns has as many as it has queues."""


class SourceOrder:
    """The order in which leases look at their lists."""

    def __init__(self, keys: BrokerKeys, waiting: QueueWait, by_name: bool) -> None:
        """``by_name``: queues in the order of their names, whatever the order of the lease."""
        self._keys = keys
        self._waiting = waiting
        self._by_name = by_name
        self._known: dict[tuple[str, ...], LeaseSources] = {}

    def of(self, lease: Lease | None) -> LeaseSources:
        """The lists to lease from, inboxes first."""
        if lease is None:
            return _NO_SOURCES
        queues = tuple(lease.queues)
        own, waiting = self._known.get(queues) or self._lists(queues), self._waiting
        armed = waiting.armed(lease.worker) if waiting.arrived or waiting.outstanding else ()
        if not armed and not lease.node:
            return own
        keys, pairs = self._keys, list(zip(own.lists, own.names, strict=True))
        inbox = [(keys.prefetched(lease.worker, key), queue) for key, queue in pairs if key in armed]
        if lease.node:
            inbox = [(keys.prefetched(lease.node, key), queue) for key, queue in pairs] + inbox
        lists, names = zip(*[*inbox, *pairs], strict=True)
        return LeaseSources(lists, names)

    def _lists(self, queues: tuple[str, ...]) -> LeaseSources:
        if len(self._known) >= _ORDERS_KEPT:
            self._known.clear()
        ordered = sorted(queues) if self._by_name else queues
        pairs = [(self._keys.queue_list(queue, step), queue) for step in self._keys.steps for queue in ordered]
        found = self._known[queues] = LeaseSources([key for key, _ in pairs], [queue for _, queue in pairs])
        return found


class PassThrough(NamedTuple):
    """The only message of a call, into a list that the call leases from: where nothing waits there, the script leases
    it as it comes, and need neither be handed it as a list's element nor send it back."""

    key: str
    """The list."""
    payload: bytes
    queue: str
    tail: bytes
    """The end of the record of its lease, after the payload."""

    @property
    def record(self) -> bytes:
        """As it stands in ``unacked``."""
        return b"[" + self.payload + self.tail

    @property
    def fields(self) -> list[Any]:
        """The script's arguments for it."""
        return [self.key, False, len(self.tail), self.queue]


def may_carry(settlements: Sequence[Settlement], chord_dispatches: Sequence[ChordDispatch]) -> bool:
    """Whether nothing else of the call can put anything into a list, so that no order is to be kept."""
    if len(settlements) != 1 or chord_dispatches:
        return False
    (one,) = settlements
    return len(one.publishes) == 1 and not (
        one.speculative or one.releases_permits or one.disposal in ("requeue", "redeliver")
    )


def carry(payload: bytes, lists: Sequence[str], sources: LeaseSources) -> PassThrough | None:
    """A message that goes into ``lists``, if the call may lease it."""
    # The script puts a payload that is no JSON object into a string.
    if len(lists) != 1 or lists[0] not in sources.lists or not payload.startswith(b"{"):
        return None
    queue = sources.names[sources.lists.index(lists[0])]
    return PassThrough(lists[0], payload, queue, f',"",{json.dumps(queue)}]'.encode())
