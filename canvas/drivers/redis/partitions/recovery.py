"""The workers of partitioned queues, each known in every partition whose queues it consumes."""

import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

from canvas.drivers.ports.values import HeartbeatReply
from canvas.drivers.redis.partitions.crossings import Crossings
from canvas.drivers.redis.partitions.partition import Partition, Partitions
from canvas.drivers.tags import number_of_tag, tag_of
from canvas.errors import OperationalError
from canvas.model.message import Delivery
from canvas.model.settlement import Orphan

_SWEEPS_EVERY = 10.0
"""Seconds between two looks at the crossings of partitions whose queues this process does not consume."""


class PartitionedRecovery:
    """The Recovery of ``canvas.drivers.ports``. Each call is made in every partition that this process uses, in the
    others too where one is unreachable."""

    def __init__(self, partitions: Partitions, crossings: Crossings) -> None:
        self._partitions = partitions
        self._crossings = crossings
        self._next_sweep = 0.0

    def _each(self, call: Callable[[Partition], Any]) -> list[Any]:
        """The answers of the partitions that are used. Raises OperationalError for one that is unreachable, after all
        calls."""
        found, away = [], None
        for partition in self._partitions.used:
            try:
                found.append(call(partition))
            except OperationalError as exc:
                away = exc
        if away is not None:
            raise away
        return found

    def heartbeat(self, worker: str, queues: Sequence[str], ttl: float) -> HeartbeatReply:
        by_partition = self._partitions.use(queues)
        replies = self._each(lambda one: one.recovery.heartbeat(worker, by_partition.get(one, []), ttl))
        return HeartbeatReply(max(reply.workers for reply in replies), all(reply.known for reply in replies))

    def rest(self, worker: str) -> bool:
        return all(self._each(lambda one: one.recovery.rest(worker)))

    def empty_inbox(self, worker: str, queues: Sequence[str]) -> int:
        return sum(one.recovery.empty_inbox(worker, some) for one, some in self._partitions.by_queue(queues).items())

    def release_unknown(self, worker: str, held: Collection[str]) -> int:
        return sum(self._each(lambda one: one.recovery.release_unknown(worker, held)))

    def unregister(self, worker: str) -> None:
        self._each(lambda one: one.recovery.unregister(worker))

    def mark_started(self, delivery: Delivery) -> None:
        self._partitions.of_queue(delivery.queue).recovery.mark_started(delivery)

    def recover_worker(self, worker: str) -> int:
        return sum(self._each(lambda one: one.recovery.recover_worker(worker)))

    def has_orphans(self) -> bool:
        return any(self._each(lambda one: one.recovery.has_orphans()))

    def claim_orphans(self) -> list[Orphan]:
        return [orphan for found in self._each(lambda one: one.recovery.claim_orphans()) for orphan in found]

    def lease_number(self, tag: str) -> int:
        return number_of_tag(tag)

    def lease_tag(self, worker: str, number: int) -> str:
        return tag_of(worker, number)

    def leases(self, worker: str) -> list[Delivery]:
        found = [lease for some in self._each(lambda one: one.recovery.leases(worker)) for lease in some]
        return sorted(found, key=lambda lease: number_of_tag(lease.tag))

    def leased_message(self, tag: str) -> bytes | None:
        found = self._each(lambda one: one.recovery.leased_message(tag))
        return next((message for message in found if message is not None), None)

    def orphan_lease(self, tag: str, reason: str) -> bool:
        return any(self._each(lambda one: one.recovery.orphan_lease(tag, reason)))

    def recover_dead_workers(self) -> int:
        total: int = sum(self._each(lambda one: one.recovery.recover_dead_workers()))
        if time.monotonic() >= self._next_sweep:
            self._next_sweep = time.monotonic() + _SWEEPS_EVERY
            self._crossings.sweep(self._partitions.every)
        return total
