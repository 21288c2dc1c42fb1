"""Entries and their states in the store, under the name of one app's schedule, and the form that they have there."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from canvas.beat.entries import Entry, entry_of
from canvas.beat.state import EntryState, decoded
from canvas.config.sources import imported
from canvas.drivers.ports.schedules import DueEntries, EntryWrite, ScheduleStore, StoredEntry
from canvas.errors import ConfigurationError
from canvas.model.settlement import Settlement, SettleResult
from canvas.primitives.signature import Signature
from canvas.schedules import crontab, schedule, solar
from canvas.schedules.base_schedule import BaseSchedule
from canvas.wire import typed_json
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


def stored(entry: Entry) -> bytes:
    """An entry as every beat can read it. Raises ConfigurationError for a schedule or workflow of a kind that has no
    such form, EncodeError for arguments that cannot be written."""
    task = entry.task
    about: dict[str, Any] = {
        "schedule": _schedule_form(entry), "args": list(entry.args), "kwargs": entry.kwargs, "options": entry.options,
        "catch_up": entry.catch_up, "overlap": entry.overlap,
    }  # fmt: skip
    if isinstance(task, str):
        about["task"] = task
    elif isinstance(task, Signature):
        about["signature"] = dict(task)
    else:
        about["workflow"] = _path(entry)
    return typed_json.dumps(about)


def described(entry: Entry) -> bytes:
    """An entry of the settings, for ``canvas schedule`` of programs with other settings."""
    return typed_json.dumps({"config": entry.what, "schedule": repr(entry.schedule)})


def is_dynamic(definition: bytes) -> bool:
    """Whether ``stored`` wrote it."""
    return "config" not in typed_json.loads(definition)


def restored(name: str, definition: bytes) -> Entry:
    """The entry that ``stored`` wrote. Raises ConfigurationError."""
    about = typed_json.loads(definition)
    path, sig = about.pop("workflow", None), about.pop("signature", None)
    task = imported(path) if path else sig or about.pop("task")
    form = about.pop("schedule")
    return entry_of(name, {**about, "task": task, "schedule": _FORMS[form[0]](*form[1:])}, dynamic=True)


_FORMS: dict[str, Callable[..., BaseSchedule]] = {"crontab": crontab, "every": schedule, "solar": solar}


def _schedule_form(entry: Entry) -> list[Any]:
    found = entry.schedule
    if type(found) is crontab:
        names = ("minute", "hour", "day_of_week", "day_of_month", "month_of_year")
        fields = [getattr(found, f"_orig_{name}") for name in names]
        return ["crontab", *(field if isinstance(field, int | str) else sorted(field) for field in fields)]
    if type(found) is schedule:
        return ["every", found.run_every.total_seconds(), found.relative]
    if type(found) is solar:
        return ["solar", found.event, found.lat, found.lon]
    raise ConfigurationError(
        f"schedule entry {entry.name!r}: a schedule of class {type(found).__name__} cannot be stored for other "
        "processes: use crontab, schedule or solar, or put the entry into beat_schedule"
    )


def _path(entry: Entry) -> str:
    task = entry.task
    module, name = getattr(task, "__module__", ""), getattr(task, "__qualname__", "")
    if not module or not name or "<" in name or module == "__main__" or not callable(task):
        raise ConfigurationError(
            f"schedule entry {entry.name!r}: expected a function of a module that composes the workflow, which every "
            f"beat can import; got {task!r:.100}"
        )
    return f"{module}:{name}"
