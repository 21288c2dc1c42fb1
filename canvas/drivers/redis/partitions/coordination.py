"""Revocations, rates and locks, of partitions."""

from collections.abc import Sequence

from canvas.drivers.redis.partitions.broker import PartitionedBroker
from canvas.drivers.redis.partitions.crossings import Crossings
from canvas.drivers.redis.partitions.partition import Partitions
from canvas.drivers.redis.partitions.permits import SharedPermits
from canvas.drivers.retry_policy import Delays
from canvas.model.message import Publish
from canvas.model.settlement import Settlement, UniqueLock


class PartitionedCoordination:
    """The Coordination of ``canvas.drivers.ports``.

    Revocations are in every partition, because the reply to a lease shows whether there are new ones. Everything else
    is in the partition of its key.
    """

    def __init__(
        self, partitions: Partitions, broker: PartitionedBroker, crossings: Crossings, permits: SharedPermits
    ) -> None:
        self._partitions = partitions
        self._broker = broker
        self._crossings = crossings
        self.acquire_permit = permits.acquire
        self.enqueue_blocked = permits.enqueue_blocked

    def revoke(self, entries: Sequence[str], seconds: float) -> None:
        for partition in self._partitions.every:
            partition.coordination.revoke(entries, seconds)

    def revoked(self) -> tuple[int, list[str]]:
        found: set[str] = set()
        for partition in self._partitions.every:
            # Every partition has every entry. One that is away is asked when it is back, with another version.
            away = self._partitions.away
            answer = away.tried(partition, partition.coordination.revoked) if away.answers(partition) else None
            if answer is not None:
                self._broker.note_version(partition, answer[0])
                found.update(answer[1])
        return self._broker.version, sorted(found)

    def reserve_rate_slot(self, key: str, interval: float) -> float:
        return self._partitions.of_key(key).coordination.reserve_rate_slot(key, interval)

    def publish_unique(self, message: Publish, lock: UniqueLock, seconds: float, delays: Delays = None) -> str | None:
        home = self._partitions.of_key(lock.key)
        split = self._broker.split(Settlement(None, publishes=[message]), home)
        owner = home.coordination.publish_unique_of(split.settlement.publishes, lock, seconds, delays)
        if owner is None:
            self._crossings.bring(split.crossings)
        else:
            self._crossings.dropped(split.crossings)
        return owner

    def release_lock(self, lock: UniqueLock) -> None:
        self._partitions.of_key(lock.key).coordination.release_lock(lock)
