"""``app.schedule``: entries that are added, changed, paused and removed while beats run."""

import time
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from canvas.beat.arguments import unfit_arguments
from canvas.beat.clock import BeatClock
from canvas.beat.configured_entries import SetupApp, entries_of, first_due, save, warn_of_unlikely_options, with_cleanup
from canvas.beat.entries import Entry, entry_of
from canvas.beat.overlap import check_overlap
from canvas.beat.service import schedule_name
from canvas.beat.state import EntryState, new_state
from canvas.beat.store import EntryStore, Known, is_dynamic, stored
from canvas.beat.tick_messages import tick_of
from canvas.caller_warnings import ends_in_caller
from canvas.errors import ConfigurationError
from canvas.model.ids import new_id
from canvas.wire import typed_json


class EntryInfo(NamedTuple):
    """An entry as ``canvas schedule`` shows it."""

    name: str
    task: str
    schedule: str
    source: str
    """``settings`` or ``added``."""
    state: EntryState
    due: float | None
    """Unix time, seconds; ``None`` while it is paused."""


@ends_in_caller()
class Schedule:
    """The entries of an app's schedule. A change is seen by every beat within a second (``beat_max_loop_interval``)."""

    def __init__(self, app: SetupApp) -> None:
        self._app = app

    @property
    def _store(self) -> EntryStore:
        return EntryStore(self._app.driver.schedules, schedule_name(self._app), self._app.signer)

    def add(
        self, name: str, task: Any, schedule: Any, args: Iterable[Any] = (), kwargs: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> None:  # fmt: skip
        """Add an entry: ``task`` (a task or its name, a signature, or a function of a module that composes a workflow)
        runs by ``schedule``.

        ``more``: ``options``, ``relative``, ``catch_up`` and ``overlap``, as in ``beat_schedule``.
        Raises ConfigurationError for an entry that is wrong, whose name is taken, or whose arguments do not fit its
        task, if that is registered here.
        """
        entry = self._entry(name, {"task": task, "schedule": schedule, "args": args, "kwargs": kwargs, **more})
        if not self._put(entry, None):
            raise ConfigurationError(f"schedule entry {name!r}: there is one already; use app.schedule.update")

    def update(self, name: str, **changes: Any) -> None:
        """Change parts of an entry that ``add`` added; its state stays. Raises ConfigurationError."""
        while True:
            known = self._known(name)
            entry = self._store.dynamic(known)
            if entry is None:
                raise ConfigurationError(f"schedule entry {name!r} is one of beat_schedule: change it there")
            parts = ("task", "schedule", "args", "kwargs", "options", "catch_up", "overlap")
            fields = {part: getattr(entry, part) for part in parts}
            if self._put(self._entry(name, {**fields, **changes}), known):
                return

    def remove(self, name: str) -> bool:
        """Delete an entry that ``add`` added; False when there is none. Raises ConfigurationError for one of
        ``beat_schedule``."""
        found = self._store.read([name])
        if found and not is_dynamic(found[0].definition):
            raise ConfigurationError(f"schedule entry {name!r} is one of beat_schedule: remove it there, or pause it")
        return bool(self._store.remove([name]))

    def pause(self, name: str) -> None:
        """Leave out all ticks until ``resume``. Raises ConfigurationError for an unknown entry."""

        def pause(state: EntryState) -> None:
            state.paused = True

        self._change(name, pause)

    def resume(self, name: str) -> None:
        """Go on after ``pause``, as if the entry had just run. Raises ConfigurationError for an unknown entry."""
        entry = self._any_entry(name)
        clock = self._clock(entry)

        def resume(state: EntryState) -> float:
            if state.paused:
                state.paused = False
                state.ran_at(clock.now())
            return first_due(entry, state, clock)

        self._change(name, resume)

    def run(self, name: str) -> dict[str, Any]:
        """Send an entry's task now, independently of its schedule. Returns how the run is found, ``{"ids": [task
        ids]}`` or ``{"run": id}``. Raises ConfigurationError for an unknown entry."""
        tick = tick_of(self._app, self._any_entry(name), new_id())
        if tick.before is not None:
            tick.before()
        if tick.settlement is not None:
            (verdict,) = self._app.driver.settler.settle([tick.settlement]).verdicts
            if verdict.refused:
                raise ConfigurationError(f"schedule entry {name!r} cannot be sent: {verdict.refused}")
            for follow in tick.after:
                follow(verdict)
        elif tick.send is not None:
            tick.send()
        return tick.last

    def list(self) -> "list[EntryInfo]":
        """All entries, by name; also those of ``beat_schedule`` that no beat has seen yet."""
        found = {one.name: self._info(one) for one in self._store.read()}
        for name, entry in entries_of(self._app, self._given, quiet=True).items():
            if name not in found:
                state = new_state(self._app.now())
                found[name] = EntryInfo(name, entry.what, repr(entry.schedule), "settings", state, None)
        return [found[name] for name in sorted(found)]

    @property
    def _given(self) -> Mapping[str, Any]:
        """The entries of the settings, as they are written there."""
        return with_cleanup(self._app, self._app.conf.beat_schedule or {})

    def _entry(self, name: str, fields: Mapping[str, Any]) -> Entry:
        if not isinstance(name, str) or not name:
            raise ConfigurationError(f"schedule entry: expected text as its name; got {name!r:.100}")
        entry = entry_of(name, {key: value for key, value in fields.items() if value is not None}, dynamic=True)
        check_overlap(self._app, entry)
        wrong = unfit_arguments(self._app, entry)
        if wrong is not None:
            raise ConfigurationError(f"schedule entry {name!r}: {wrong}")
        warn_of_unlikely_options(self._app, entry)
        return entry

    def _put(self, entry: Entry, known: Known | None) -> bool:
        """Write an entry, new or known; False when another process has changed it."""
        definition, clock = stored(entry), self._clock(entry)
        state = known.state if known is not None else new_state(clock.now())
        state.schedule = repr(entry.schedule)
        due = None if state.paused else first_due(entry, state, clock)
        return self._store.write(entry.name, known.revision if known else 0, state, due, definition).held

    def _clock(self, entry: Entry) -> BeatClock:
        """The server's clock, which is also that of the entry's schedule from here on."""
        clock = BeatClock(self._app, time.monotonic)
        clock.sync(self._store.due(0).now)
        entry.schedule.app = clock
        return clock

    def _known(self, name: str) -> Known:
        found = self._store.read([name])
        if not found:
            names = ", ".join(one.name for one in self._store.read()[:20])
            raise ConfigurationError(f"there is no schedule entry {name!r}; there are: {names or 'none'}")
        return found[0]

    def _any_entry(self, name: str) -> Entry:
        """The entry of that name, of the settings or of the store."""
        given = self._given.get(name)
        if given is not None:
            return entry_of(name, given)
        entry = self._store.dynamic(self._known(name))
        if entry is None:
            raise ConfigurationError(f"schedule entry {name!r} is one of other settings than those of this program")
        return entry

    def _change(self, name: str, change: Any) -> None:
        """Change the state of an entry. One of the settings that no beat has seen yet is kept first, as a beat does."""
        if self._store.change(name, change):
            return
        given = self._given.get(name)
        if given is not None:
            entry = entry_of(name, given)
            clock = self._clock(entry)
            save(self._store, entry, None, new_state(clock.now()), clock)
        if given is None or not self._store.change(name, change):
            self._known(name)

    def _info(self, known: Known) -> EntryInfo:
        entry = self._store.dynamic(known)
        if entry is not None:
            return EntryInfo(known.name, entry.what, repr(entry.schedule), "added", known.state, known.due)
        about = typed_json.loads(known.definition)
        return EntryInfo(known.name, about["config"], about["schedule"], "settings", known.state, known.due)
