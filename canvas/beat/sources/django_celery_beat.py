"""The entries of django-celery-beat: its tables, with the meaning that its DatabaseScheduler gives them."""

import json
import logging
from collections.abc import Mapping
from datetime import datetime, timedelta, tzinfo
from typing import Any

from canvas.beat import log
from canvas.beat.configured_entries import CLEANUP, SetupApp
from canvas.beat.entries import Entry
from canvas.beat.sources.source import Look, SourceEntry
from canvas.errors import ConfigurationError
from canvas.integrations.django_schedules import OPTIONS, PeriodicTables, zones_count
from canvas.schedules import crontab, schedule, solar
from canvas.schedules.base_schedule import BaseSchedule, ScheduleApp, maybe_make_aware

_logger = logging.getLogger("celery.beat")
_LONG_AGO = timedelta(days=365 * 30)
"""An entry with a start time that has never run is due as soon as that has come."""
_READ_ALL_EVERY = 300.0


class DjangoTables:
    """The source of ``-S django``."""

    name = "django"
    look_every = 5.0

    def __init__(self, app: SetupApp) -> None:
        """Raises ConfigurationError where django-celery-beat is not installed, or not one of INSTALLED_APPS."""
        self._app = app
        self._clock: ScheduleApp = app
        self._tables = PeriodicTables()
        self._rows: dict[int, SourceEntry] = {}
        self._due: dict[int, float] = {}
        self._left_out: dict[int, str] = {}
        self._changed: datetime | None = None
        self._read_at: datetime | None = None

    def setup(self, given: Mapping[str, Entry], clock: ScheduleApp) -> None:
        self._clock = clock
        if self._app.conf.result_expires and CLEANUP not in given:
            nightly = self._timed(crontab("0", "4"))
            self._put(Entry(CLEANUP, CLEANUP, nightly, options={"expire_seconds": 12 * 3600}))
        for entry in given.values():
            try:
                self._put(entry)
            except (ConfigurationError, TypeError, ValueError) as exc:
                log.refused_entry(exc)
        self._read_at = None

    def look(self, now: datetime) -> Look:
        last = self._tables.changed_at()
        stale = self._read_at is None or (now - self._read_at).total_seconds() >= _READ_ALL_EVERY
        if stale or last != self._changed:
            self._changed, self._read_at = last, now
            self._read_all(now)
        timestamp = now.timestamp()
        found = [self._rows[pk] for pk, due in self._due.items() if due <= timestamp]
        following = min((due for due in self._due.values() if due > timestamp), default=timestamp + _READ_ALL_EVERY)
        return Look([one for one in found if not self._has_expired(one, now)], following - timestamp)

    def later(self, found: SourceEntry, due: float | None) -> None:
        if due is None:
            self._due.pop(found.key.pk, None)
        else:
            self._due[found.key.pk] = due

    def ran(self, found: SourceEntry, moment: datetime) -> None:
        self._tables.ran(found.key, moment)
        found.last_run = moment
        if found.key.one_off:
            self.later(found, None)

    def _read_all(self, now: datetime) -> None:
        self._rows, self._due = {}, {}
        for row in self._tables.enabled():
            try:
                arguments = json.loads(row.args or "[]"), json.loads(row.kwargs or "{}")
            except ValueError as exc:
                _logger.error("beat: Disabling the periodic task %s: %s: %s", row.name, type(exc).__name__, exc)
                self._tables.disable(row)
                continue
            try:
                self._rows[row.pk] = self._entry(row, *arguments, now)
                self._due[row.pk] = now.timestamp()
            except Exception as exc:  # noqa: BLE001 - a row may hold anything, and the other entries go on
                self._leave_out(row, f"{type(exc).__name__}: {exc}")

    def _leave_out(self, row: Any, why: str) -> None:
        """Log once why a row is no entry. It stays enabled, as with DatabaseScheduler, and is one when it is mended."""
        if self._left_out.get(row.pk) != why:
            self._left_out[row.pk] = why
            _logger.error("beat: Leaving out the periodic task %s: %s", row.name, why)

    def _entry(self, row: Any, args: Any, kwargs: Any, now: datetime) -> SourceEntry:
        options: dict[str, Any] = {name: getattr(row, name) for name in OPTIONS if getattr(row, name) is not None}
        if row.expires_:
            options["expires"] = row.expires_
        options["headers"] = {**json.loads(row.headers or "{}"), "periodic_task_name": row.name}
        entry = Entry(row.name, row.task, self._schedule(row), tuple(args), dict(kwargs), options)
        changed_at = _aware(row.date_changed)
        last_run = _aware(row.last_run_at)
        if last_run is None:
            last_run = (changed_at or now) - (_LONG_AGO if row.start_time else timedelta())
        return SourceEntry(entry, last_run, changed_at, _aware(row.start_time), row)

    def _schedule(self, row: Any) -> BaseSchedule:
        if row.interval:
            return self._timed(schedule(timedelta(**{row.interval.period: row.interval.every})))
        if row.crontab:
            one = row.crontab
            fields = (one.minute, one.hour, one.day_of_week, one.day_of_month, one.month_of_year)
            return self._timed(crontab(*fields), one.timezone if zones_count() else None)
        if row.solar:
            return self._timed(solar(row.solar.event, float(row.solar.latitude), float(row.solar.longitude)))
        if row.clocked:
            return self._timed(Clocked(maybe_make_aware(row.clocked.clocked_time)))
        raise ValueError("it has no schedule")

    def _timed(self, made: BaseSchedule, zone: tzinfo | None = None) -> BaseSchedule:
        made.app = self._clock if zone is None else _ZonedClock(self._clock, zone)
        return made

    def _has_expired(self, found: SourceEntry, now: datetime) -> bool:
        expires = _aware(found.key.expires)
        if expires is None or now < expires:
            return False
        self._tables.disable(found.key)
        self.later(found, None)
        return True

    def _put(self, entry: Entry) -> None:
        if not isinstance(entry.task, str):
            raise ConfigurationError(f"schedule entry {entry.name!r}: tables keep the names of tasks; got {entry.what}")
        self._tables.put(entry.name, entry.task, entry.schedule, entry.args, entry.kwargs, entry.options)


class Clocked(BaseSchedule):
    """Due once, at a time."""

    def __init__(self, clocked_time: datetime) -> None:
        super().__init__()
        self.clocked_time = clocked_time

    def remaining_estimate(self, last_run_at: datetime) -> timedelta:
        return self.clocked_time - self.now()

    def __repr__(self) -> str:
        return f"<clocked: {self.clocked_time}>"


class _ZonedClock:
    """Beat's clock, in the zone of one crontab."""

    def __init__(self, clock: ScheduleApp, zone: tzinfo) -> None:
        self.conf = clock.conf
        self.timezone = zone
        self._clock = clock

    def now(self) -> datetime:
        return self._clock.now().astimezone(self.timezone)


def _aware(moment: datetime | None) -> datetime | None:
    return None if moment is None else maybe_make_aware(moment)
