"""Schedules of periodic tasks, each in the partition of its name."""

from collections.abc import Sequence

from canvas.drivers.ports.schedules import DueEntries, EntryWrite, StoredEntry
from canvas.drivers.redis.partitions.broker import PartitionedBroker
from canvas.drivers.redis.partitions.crossings import Crossings
from canvas.drivers.redis.partitions.partition import Partitions
from canvas.drivers.redis.schedules import RedisSchedules
from canvas.errors import RefusedError
from canvas.model.settlement import Settlement, SettleResult


class PartitionedSchedules:
    """The ScheduleStore of ``canvas.drivers.ports``."""

    def __init__(self, partitions: Partitions, broker: PartitionedBroker, crossings: Crossings) -> None:
        self._partitions = partitions
        self._broker = broker
        self._crossings = crossings

    def _of(self, schedule: str) -> RedisSchedules:
        return self._partitions.of_key(schedule).schedules

    def due(self, schedule: str, limit: int) -> DueEntries:
        return self._of(schedule).due(schedule, limit)

    def read(self, schedule: str, names: Sequence[str] | None = None) -> list[StoredEntry]:
        return self._of(schedule).read(schedule, names)

    def write(self, change: EntryWrite, settlement: Settlement | None = None) -> SettleResult:
        store = self._of(change.schedule)
        if settlement is None:
            return store.write(change)
        try:
            split = self._broker.split(settlement, self._partitions.of_key(change.schedule))
        except RefusedError as exc:
            return SettleResult(False, [], str(exc))
        verdict = store.write(change, split.settlement)
        if verdict.held:
            self._crossings.bring(split.crossings)
        else:
            self._crossings.dropped(split.crossings)
        return verdict

    def remove(self, schedule: str, names: Sequence[str]) -> int:
        return self._of(schedule).remove(schedule, names)
