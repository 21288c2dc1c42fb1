"""The entries of the settings, checked, and how they reach the store."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from difflib import get_close_matches
from typing import Any, Protocol

from canvas.beat import log
from canvas.beat.arguments import unfit_arguments
from canvas.beat.clock import BeatClock
from canvas.beat.entries import Entry, entry_of
from canvas.beat.overlap import check_overlap
from canvas.beat.scheduler_classes.shelf import last_runs
from canvas.beat.state import EntryState, new_state
from canvas.beat.store import EntryStore, Known, described, is_dynamic
from canvas.beat.tick_messages import BeatApp
from canvas.schedules.crontab import crontab


class SetupApp(BeatApp, Protocol):
    """The parts of an app that beat needs."""

    main: str | None

    @property
    def timezone(self) -> Any: ...


CLEANUP = "celery.backend_cleanup"


def with_cleanup(app: SetupApp, given: Mapping[str, Any]) -> Mapping[str, Any]:
    """``beat_schedule`` with the entry that deletes old results each night, as Celery's beat has it: where results
    expire, and the result backend does not delete them automatically."""
    results = app.driver.results
    if CLEANUP in given or not app.conf.result_expires or results is None or results.expires_records:
        return given
    entry = {"task": CLEANUP, "schedule": crontab("0", "4", "*"), "options": {"expires": 12 * 3600}}
    return {**given, CLEANUP: entry}


def entries_of(app: SetupApp, given: Mapping[str, Any], quiet: bool = False) -> dict[str, Entry]:
    """The entries of ``beat_schedule``. Wrong ones are left out and logged; an entry whose task is not registered here,
    or whose interval is not above 0, is kept, with a warning. ``quiet``: nothing is logged."""
    found: dict[str, Entry] = {}
    for key, fields in given.items():
        name = str(key)  # Celery takes any key
        try:
            entry = entry_of(name, fields)
            check_overlap(app, entry)
        except Exception as exc:  # noqa: BLE001 - a program's schedules and workflows may raise anything
            if not quiet:
                log.refused_entry(exc)
            continue
        found[name] = entry
        if not quiet:
            warn_of_unlikely_options(app, entry)
            wrong = unfit_arguments(app, entry)
            if wrong is not None:
                log.unfit_arguments(name, wrong)
    return found


def warn_of_unlikely_options(app: BeatApp, entry: Entry) -> None:
    """Warn of an entry whose task is not registered here, or whose interval is not above 0."""
    if isinstance(entry.task, str) and entry.task not in app.tasks:
        near = get_close_matches(entry.task, list(app.tasks), n=1)
        log.unknown_task(entry.name, entry.task, near[0] if near else None)
    interval = getattr(entry.schedule, "run_every", None)
    if isinstance(interval, timedelta) and interval <= timedelta():
        log.no_interval(entry.name, interval.total_seconds())


def synchronize(store: EntryStore, entries: Mapping[str, Entry], clock: BeatClock, filename: str | None) -> None:
    """Have the store know the entries of the settings: add new ones, schedule changed ones anew, delete those that are
    gone. Entries that were added by ``app.schedule`` stay, unless the settings have one of their name."""
    known = {one.name: one for one in store.read()}
    gone = [name for name, one in known.items() if name not in entries and not is_dynamic(one.definition)]
    store.remove(gone)
    new = [name for name in entries if name not in known]
    earlier = last_runs(filename) if new and filename else {}
    taken_over = 0
    for name, entry in entries.items():
        state = _state_of(known.get(name), clock)
        if name in new and name in earlier:
            state.ran_at(earlier[name])
            taken_over += 1
        save(store, entry, known.get(name), state, clock)
    if taken_over:
        log.imported_state(taken_over, str(filename))


def _state_of(known: Known | None, clock: BeatClock) -> EntryState:
    return replace(known.state) if known is not None else new_state(clock.now())


def save(store: EntryStore, entry: Entry, known: Known | None, state: EntryState, clock: BeatClock) -> None:
    """Write an entry, if it differs. Another beat that does the same at this moment is as good."""
    form, definition = repr(entry.schedule), described(entry)
    if known is not None and state.schedule == form and known.definition == definition:
        return
    state.schedule = form
    due = None if state.paused else first_due(entry, state, clock)
    store.write(entry.name, known.revision if known else 0, state, due, definition)


def first_due(entry: Entry, state: EntryState, clock: BeatClock) -> float:
    """When an entry is due by its schedule and its last run; noted in its state."""
    due = clock.timestamp()
    # An error is logged when the entry's turn comes.
    with suppress(Exception):
        due = round(clock.timestamp() + entry.schedule.remaining_estimate(state.last_run).total_seconds(), 6)
    state.next_due = due
    return due
