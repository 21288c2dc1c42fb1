"""Entries and their states in the store, under the name of one app's schedule."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from canvas.beat.entries import Entry, is_dynamic, restored
from canvas.beat.state import EntryState, decoded
from canvas.drivers.ports.schedules import DueEntries, EntryWrite, ScheduleStore, StoredEntry
from canvas.errors import ConfigurationError
from canvas.model.settlement import Settlement, SettleResult
from canvas.wire.signing import Signer


class Known(NamedTuple):
    """An entry as it is stored, its state read."""

    name: str
    revision: int
    due: float | None
    state: EntryState
    definition: bytes


class EntryStore:
    """The entries of one schedule."""

    def __init__(self, store: ScheduleStore | None, schedule: str, signer: Signer) -> None:
        """``schedule``: its name in the store. Raises ConfigurationError when the broker keeps no entries."""
        if store is None:
            raise ConfigurationError("beat needs a broker that keeps the entries of schedules: use a redis:// broker")
        self._store = store
        self.schedule = schedule
        self._signer = signer

    def due(self, limit: int) -> DueEntries:
        """See the driver."""
        return self._store.due(self.schedule, limit)

    def read(self, names: Sequence[str] | None = None) -> list[Known]:
        """The entries of these names that there are; without ``names`` all of them."""
        return [self.known(one) for one in self._store.read(self.schedule, names)]

    def known(self, one: StoredEntry) -> Known:
        """A stored entry, its state read. Raises SignatureError for a definition that no program of ours wrote."""
        definition = self._signer.open(self._place(one.name), one.definition)
        return Known(one.name, one.revision, one.due, decoded(one.state), definition)

    def dynamic(self, known: Known) -> Entry | None:
        """The entry itself, if it was added by ``app.schedule``. Raises ConfigurationError."""
        return restored(known.name, known.definition) if is_dynamic(known.definition) else None

    def write(
        self,
        name: str,
        revision: int,
        state: EntryState,
        due: float | None,
        definition: bytes | None = None,
        settlement: Settlement | None = None,
    ) -> SettleResult:
        """See the driver."""
        sealed = None if definition is None else self._signer.seal(self._place(name), definition)
        return self._store.write(EntryWrite(self.schedule, name, revision, due, state.encode(), sealed), settlement)

    def change(self, name: str, change: Callable[[EntryState], float | None]) -> bool:
        """Change the state of an entry, whatever else happens to it meanwhile; ``change`` gives when it is due next.
        False when there is no such entry."""
        while True:
            found = self.read([name])
            if not found:
                return False
            (known,) = found
            due = change(known.state)
            if self.write(name, known.revision, known.state, due).held:
                return True

    def remove(self, names: Sequence[str]) -> int:
        """Delete entries. Returns how many there were."""
        return self._store.remove(self.schedule, names)

    def _place(self, name: str) -> str:
        return f"the entry {name} of schedule {self.schedule}"
