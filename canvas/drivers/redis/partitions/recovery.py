"""The workers of partitioned queues, each known in every partition whose queues it consumes."""

import time
from collections.abc import Callable, Collection, Sequence
from math import inf
from typing import Any

from canvas.drivers.ports.values import HeartbeatReply
from canvas.drivers.redis.partitions.crossings import Crossings
from canvas.drivers.redis.partitions.partition import Partition, Partitions
from canvas.drivers.tags import number_of_tag, tag_of
from canvas.errors import OperationalError
from canvas.model.message import Delivery
from canvas.model.settlement import Orphan

_SWEEPS_EVERY = 10.0
"""Seconds between two sweeps of the crossings of partitions whose queues this process does not consume."""


class PartitionedRecovery:
    """The Recovery of ``canvas.drivers.ports``. Each call is made in every partition that this process uses. Where one
    is away, those about all workers are made in the others; those about one lease raise OperationalError."""

    silence = inf

    def __init__(self, partitions: Partitions, crossings: Crossings) -> None:
        self._partitions = partitions
        self._crossings = crossings
        self._next_sweep = 0.0
        self._beats: dict[str, tuple[Sequence[str], float]] = {}
        """The latest heartbeats, by worker: the queues, and for how long each is good."""
        partitions.away.on_return = self._beat_again

    def _beat_again(self, partition: Partition) -> None:
        """Send the heartbeats that a partition has missed, before another worker takes these for dead."""
        for worker, (queues, ttl) in list(self._beats.items()):
            partition.recovery.heartbeat(worker, self._partitions.by_queue(queues).get(partition, []), ttl)

    def _each(self, call: Callable[[Partition], Any]) -> list[Any]:
        """The answers of the partitions that are used. Raises OperationalError for one that is away, after all
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
        self._beats[worker] = queues, ttl
        replies = self._partitions.reached(lambda one: one.recovery.heartbeat(worker, by_partition.get(one, []), ttl))
        return HeartbeatReply(max(reply.workers for reply in replies), all(reply.known for reply in replies))

    def rest(self, worker: str) -> bool:
        rested = all(self._partitions.reached(lambda one: one.recovery.rest(worker)))
        if rested:
            self._beats.pop(worker, None)
        return rested

    def release_unknown(self, worker: str, held: Collection[str]) -> int:
        return sum(self._partitions.reached(lambda one: one.recovery.release_unknown(worker, held)))

    def unregister(self, worker: str) -> None:
        self._beats.pop(worker, None)
        self._partitions.reached(lambda one: one.recovery.unregister(worker))

    def mark_started(self, delivery: Delivery) -> None:
        self._partitions.of_queue(delivery.queue).recovery.mark_started(delivery)

    def recover_worker(self, worker: str) -> int:
        self._beats.pop(worker, None)
        return sum(self._partitions.reached(lambda one: one.recovery.recover_worker(worker)))

    def has_orphans(self) -> bool:
        return any(self._partitions.reached(lambda one: one.recovery.has_orphans()))

    def claim_orphans(self) -> list[Orphan]:
        every = self._partitions.reached(lambda one: one.recovery.claim_orphans())
        return [orphan for found in every for orphan in found]

    def lease_number(self, tag: str) -> int:
        return number_of_tag(tag)

    def lease_tag(self, worker: str, number: int) -> str:
        return tag_of(worker, number)

    def leases(self, worker: str) -> list[Delivery]:
        found = [lease for some in self._each(lambda one: one.recovery.leases(worker)) for lease in some]
        return sorted(found, key=lambda lease: number_of_tag(lease.tag))

    def on_broken(self, call: Callable[[], object]) -> None:
        """Nothing: leases do not end with a connection."""

    def still_leased(self, delivery: Delivery, early_acked: bool) -> bool:
        return self._partitions.of_queue(delivery.queue).recovery.still_leased(delivery, early_acked)

    def leased_message(self, tag: str) -> bytes | None:
        found = self._each(lambda one: one.recovery.leased_message(tag))
        return next((message for message in found if message is not None), None)

    def orphan_lease(self, tag: str, reason: str) -> bool:
        return any(self._each(lambda one: one.recovery.orphan_lease(tag, reason)))

    def recover_dead_workers(self) -> int:
        total: int = sum(self._partitions.reached(lambda one: one.recovery.recover_dead_workers()))
        if time.monotonic() >= self._next_sweep:
            self._next_sweep = time.monotonic() + _SWEEPS_EVERY
            self._sweep_crossings()
        return total

    def _sweep_crossings(self) -> None:
        try:
            self._crossings.sweep(self._partitions.every)
        except OperationalError:
            if not self._partitions.away:
                raise  # those of a partition that is away are brought when it is back
