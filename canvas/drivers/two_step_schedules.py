"""Entries of periodic tasks where the results are on another server than the messages.

The records and chord starts of a tick are written first. The entry and the messages follow, in one atomic step. Every
process gives a tick the same ids: when one dies between the two steps, the next writes the same records again.
"""

from collections.abc import Sequence

from canvas.drivers.ports import BrokerParts, StoreParts
from canvas.drivers.ports.chords import Records
from canvas.drivers.ports.schedules import DueEntries, EntryWrite, ScheduleStore, StoredEntry
from canvas.errors import RefusedError
from canvas.model.settlement import ReadyChord, Settlement, SettleResult


class TwoStepSchedules:
    """A ScheduleStore of entries at the broker, with results elsewhere."""

    def __init__(self, entries: ScheduleStore, store: StoreParts) -> None:
        self._entries = entries
        self._store = store

    def due(self, schedule: str, limit: int) -> DueEntries:
        return self._entries.due(schedule, limit)

    def read(self, schedule: str, names: Sequence[str] | None = None) -> list[StoredEntry]:
        return self._entries.read(schedule, names)

    def write(self, change: EntryWrite, settlement: Settlement | None = None) -> SettleResult:
        s = settlement
        if s is None or not (s.stores or s.parts or s.chord_starts or s.chord_extensions or s.mail or s.runs):
            return self._entries.write(change, settlement)
        if [entry.revision for entry in self.read(change.schedule, [change.name])] != [change.revision]:
            return SettleResult(False, [])
        try:
            ready = self._record(s)
        except RefusedError as exc:
            return SettleResult(False, [], str(exc))
        left = s._replace(stores=[], parts=[], chord_starts=[], chord_extensions=[], mail=[], runs=[])
        done = self._entries.write(change, left)
        return done._replace(ready=ready) if done.held else done

    def _record(self, s: Settlement) -> list[ReadyChord]:
        if s.parts or s.chord_starts or s.chord_extensions or s.mail or s.runs:
            if self._store.chords is None:
                raise RefusedError("a chord needs a result backend that counts its parts")
            return self._store.chords.record(Records.of([s])._replace(keeps=()))
        self._store.results.store(s.stores)
        return []

    def remove(self, schedule: str, names: Sequence[str]) -> int:
        return self._entries.remove(schedule, names)


def two_step_schedules(broker: BrokerParts, store: StoreParts | None) -> ScheduleStore | None:
    """The entries at a broker, for results elsewhere; ``None`` when the broker keeps none."""
    if broker.schedules is None or store is None:
        return broker.schedules
    return TwoStepSchedules(broker.schedules, store)
