"""Entries of periodic tasks in this process, beside the messages that they send."""

from collections.abc import Sequence

from canvas.drivers.memory.broker import MemoryBroker
from canvas.drivers.memory.queues import MemoryQueues
from canvas.drivers.ports.schedules import DueEntries, EntryWrite, StoredEntry
from canvas.model.settlement import Settlement, SettleResult


class MemorySchedules:
    """The ScheduleStore over :class:`MemoryQueues`."""

    def __init__(self, memory: MemoryQueues, broker: MemoryBroker) -> None:
        self._memory = memory
        self._broker = broker

    def due(self, schedule: str, limit: int) -> DueEntries:
        with self._memory.lock:
            now = self._memory.clock()
            timed = sorted((e.due, e.name, e) for e in self._entries(schedule).values() if e.due is not None)
        entries = [entry for due, _, entry in timed if due <= now]
        return DueEntries(now, entries[:limit], next((due for due, _, _ in timed if due > now), None))

    def read(self, schedule: str, names: Sequence[str] | None = None) -> list[StoredEntry]:
        with self._memory.lock:
            entries = self._entries(schedule)
            return [entries[name] for name in (sorted(entries) if names is None else names) if name in entries]

    def write(self, change: EntryWrite, settlement: Settlement | None = None) -> SettleResult:
        with self._memory.lock:
            entries = self._entries(change.schedule)
            known = entries.get(change.name, StoredEntry(change.name, 0, None, b"", b""))
            if known.revision != change.revision:
                return SettleResult(False, [])
            if settlement is not None:
                self._broker.settle([settlement], None)
            definition = known.definition if change.definition is None else change.definition
            revision = change.revision + 1
            entries[change.name] = StoredEntry(change.name, revision, change.due, change.state, definition)
            return SettleResult(True, [])

    def remove(self, schedule: str, names: Sequence[str]) -> int:
        with self._memory.lock:
            entries = self._entries(schedule)
            return sum(entries.pop(name, None) is not None for name in names)

    def _entries(self, schedule: str) -> dict[str, StoredEntry]:
        return self._memory.schedules.setdefault(schedule, {})
