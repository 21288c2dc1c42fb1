"""Beat over entries that another program's tables or keys define.

The table or key says which entries there are and when they ran last. The store of beat claims the ticks, as it does for
other entries: any number of beats send each tick once. The time of a claimed tick is then written back. A beat that
dies between the two leaves a store that is ahead of the table; the next beat writes the time back and sends nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from canvas.beat import log
from canvas.beat.configured_entries import SetupApp, warn_of_unlikely_options
from canvas.beat.decision import decide
from canvas.beat.entries import Entry
from canvas.beat.service import SEND_AGAIN_AFTER, Service, schedule_name
from canvas.beat.state import EntryState, new_state
from canvas.beat.store import EntryStore, Known, described
from canvas.schedules.base_schedule import ScheduleApp


@dataclass(slots=True)
class SourceEntry:
    """An entry of a source, as it stands there now."""

    entry: Entry
    last_run: datetime
    changed_at: datetime | None = None
    """When a person changed it last, where the source knows that."""
    not_before: datetime | None = None
    key: Any = None
    """The source's own identifier of the entry."""

    def is_behind(self, state: EntryState) -> bool:
        """Whether a tick was claimed whose time the source does not have yet."""
        if state.count == 0:
            return False
        return state.last_run > self.last_run and (self.changed_at is None or state.last_run > self.changed_at)


class Look(NamedTuple):
    """The state of a source at a moment."""

    entries: Sequence[SourceEntry]
    """Entries that may be due."""
    wait: float
    """Seconds after which another may be."""


class EntrySource(Protocol):
    """Where entries come from."""

    name: str
    """A part of the name of their schedule in the store."""
    look_every: float
    """Seconds between two looks at most, unless ``beat_max_loop_interval`` or ``--max-interval`` is given."""

    def setup(self, given: Mapping[str, Entry], clock: ScheduleApp) -> None:
        """Write the entries of ``beat_schedule`` there. ``clock`` is for the schedules of all entries."""

    def look(self, now: datetime) -> Look:
        """The entries that may be due now. Raises OperationalError while its server is unreachable."""

    def later(self, found: SourceEntry, due: float | None) -> None:
        """An entry was not due. It is due at ``due`` (unix time; ``None``: never)."""

    def ran(self, found: SourceEntry, moment: datetime) -> None:
        """Write when the entry ran last, and count the run; does nothing when that time is written already."""


class SourceService(Service):
    """Beat for the entries of one source."""

    def __init__(
        self, app: SetupApp, source: EntrySource, max_interval: float | None = None, **options: Any
    ) -> None:  # fmt: skip
        """``options`` as those of ``Service``."""
        super().__init__(app, max_interval or app.conf.beat_max_loop_interval or source.look_every, **options)
        self.source = source
        name = f"{schedule_name(app)}@{source.name}"
        self.store = EntryStore(app.driver.schedules, name, app.signer)

    def tick(self) -> float:
        """Send what is due now. Returns how many seconds to wait until the next call."""
        if self.app.conf.beat_schedule is not self._given:
            self.setup()
        self.clock.sync(self.store.due(0).now)
        look = self.source.look(self.clock.now())
        stored = {one.name: one for one in self.store.read([found.entry.name for found in look.entries])}
        waits = [self._decide(found, stored.get(found.entry.name)) for found in look.entries]
        return max(0.0, min([look.wait, float(self.max_interval), *waits]))

    def setup(self) -> None:
        """Have the source know the entries of the settings."""
        given = self.app.conf.beat_schedule
        self.clock.sync(self.store.due(0).now)
        self.source.setup(self.settings_entries(given), self.clock)
        self._given = given

    def _decide(self, found: SourceEntry, known: Known | None) -> float:
        """Send an entry's task if it is due. Returns the seconds until the entry is to be looked at again."""
        entry, now = found.entry, self.clock.now()
        if found.not_before is not None and now < found.not_before:
            return self._later(found, found.not_before.timestamp())
        if known is None:
            known = Known(entry.name, 0, None, new_state(found.last_run), b"")
        elif known.state.sending:
            return self._finish(found, known, now)
        elif found.is_behind(known.state):
            self.source.ran(found, known.state.last_run)
            return 0.0
        known.state.ran_at(found.last_run)
        try:
            decision = decide(entry, known.state, now, lambda: False)
        except Exception:  # noqa: BLE001 - a schedule may be anyone's code, and the other entries go on
            log.not_computed(entry.name, self.try_again_after)
            return self._later(found, now.timestamp() + self.try_again_after)
        if decision.action == "keep":
            return self._later(found, decision.due)
        if known.revision == 0 and not self._introduce(known, entry):
            return 0.0  # another beat was faster
        known = known._replace(revision=known.revision or 1)
        self._carry_out(entry, known, decision, lambda state: self.source.ran(found, state.last_run))
        return 0.0

    def _later(self, found: SourceEntry, due: float | None) -> float:
        self.source.later(found, due)
        return float("inf") if due is None else max(0.0, due - self.clock.timestamp())

    def _introduce(self, known: Known, entry: Entry) -> bool:
        """Make an entry known to the store before its first tick; False when another beat has done it."""
        held = self.store.write(entry.name, 0, known.state, None, described(entry)).held
        if held:
            warn_of_unlikely_options(self.app, entry)
        return held

    def _finish(self, found: SourceEntry, known: Known, now: datetime) -> float:
        """A tick was claimed whose task sends itself; send it again if its beat has not reported that for long."""
        claimed_at = float(known.state.last.get("at", 0.0))
        if now.timestamp() < claimed_at + SEND_AGAIN_AFTER:
            return self._later(found, claimed_at + SEND_AGAIN_AFTER)
        self._send_again(found.entry, known)
        self.source.ran(found, known.state.last_run)
        return 0.0
