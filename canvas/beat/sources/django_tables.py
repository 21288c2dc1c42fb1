"""The entries of django-celery-beat: its tables, with the meaning that its DatabaseScheduler gives them."""

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from canvas.beat import log
from canvas.beat.entries import Entry
from canvas.beat.setup import CLEANUP, SetupApp
from canvas.beat.sources.source import Look, SourceEntry
from canvas.errors import ConfigurationError, OperationalError
from canvas.schedules import crontab, schedule, solar
from canvas.schedules.base import BaseSchedule, ScheduleApp, maybe_make_aware

_logger = logging.getLogger("celery.beat")
_LONG_AGO = timedelta(days=365 * 30)
"""An entry with a start time that has never run is due as soon as that has come."""
_READ_ALL_EVERY = 300.0
_OPTIONS = ("queue", "exchange", "routing_key", "priority")


class DjangoTables:
    """The source of ``-S django``."""

    name = "django"
    look_every = 5.0

    def __init__(self, app: SetupApp) -> None:
        """Raises ConfigurationError where django-celery-beat is not installed, or not one of INSTALLED_APPS."""
        self._app = app
        self._clock: ScheduleApp = app
        self._rows: dict[int, SourceEntry] = {}
        self._due: dict[int, float] = {}
        self._changed: datetime | None = None
        self._read_at: datetime | None = None
        self._models = _models()

    # -- the source

    def setup(self, given: Mapping[str, Entry], clock: ScheduleApp) -> None:
        self._clock = clock
        with self._database():
            if self._app.conf.result_expires and CLEANUP not in given:
                cleanup = {"expire_seconds": 12 * 3600}
                self._put(Entry(CLEANUP, CLEANUP, self._timed(crontab("0", "4")), options=cleanup))
            for entry in given.values():
                try:
                    self._put(entry)
                except (TypeError, ValueError) as exc:
                    log.refused_entry(exc)
        self._read_at = None

    def look(self, now: datetime) -> Look:
        with self._database():
            last = self._models.PeriodicTasks.last_change()
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
        from django.db.models import F, Q

        row, time = found.key, _stored(moment)
        changes = {"last_run_at": time, "total_run_count": F("total_run_count") + 1}
        if row.one_off:
            changes = {"last_run_at": None, "total_run_count": 0, "enabled": False}
            self._due.pop(row.pk, None)
        before = Q(last_run_at__isnull=True) | Q(last_run_at__lt=time)
        with self._database():
            # As with ModelEntry.save, the rows of other programs' changes are kept: only these fields are written.
            self._models.PeriodicTask.objects.filter(before, pk=row.pk, enabled=True).update(**changes)
        found.last_run = moment

    # -- rows

    def _read_all(self, now: datetime) -> None:
        self._rows, self._due = {}, {}
        for row in self._models.PeriodicTask.objects.enabled().select_related(
            "interval", "crontab", "solar", "clocked"
        ):
            try:
                self._rows[row.pk] = self._entry(row, now)
                self._due[row.pk] = now.timestamp()
            except (ValueError, TypeError, AttributeError) as exc:
                _logger.error("beat: Disabling the periodic task %s: %s: %s", row.name, type(exc).__name__, exc)
                self._disable(row.pk)

    def _entry(self, row: Any, now: datetime) -> SourceEntry:
        options: dict[str, Any] = {name: getattr(row, name) for name in _OPTIONS if getattr(row, name) is not None}
        if row.expires_:
            options["expires"] = row.expires_
        options["headers"] = {**json.loads(row.headers or "{}"), "periodic_task_name": row.name}
        args, kwargs = json.loads(row.args or "[]"), json.loads(row.kwargs or "{}")
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
            return self._timed(crontab(*fields), one.timezone if _zones_count() else None)
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
        with self._database():
            self._disable(found.key.pk)
        self.later(found, None)
        return True

    def _disable(self, pk: int) -> None:
        self._models.PeriodicTask.objects.filter(pk=pk).update(enabled=False, last_run_at=None)

    def _put(self, entry: Entry) -> None:
        """Write an entry of the settings as ModelEntry.from_entry does."""
        if not isinstance(entry.task, str):
            raise ConfigurationError(f"schedule entry {entry.name!r}: tables keep the names of tasks; got {entry.what}")
        models, options = self._models, entry.options
        model, column = next(
            ((model, column) for kind, model, column in (
                (crontab, models.CrontabSchedule, "crontab"), (schedule, models.IntervalSchedule, "interval"),
                (solar, models.SolarSchedule, "solar"),
            ) if isinstance(entry.schedule, kind)), (None, "")
        )  # fmt: skip
        if model is None:
            raise ConfigurationError(f"schedule entry {entry.name!r}: tables keep no {type(entry.schedule).__name__}")
        timing = model.from_schedule(entry.schedule)
        timing.save()
        columns = {"crontab": None, "interval": None, "solar": None, "clocked": None, column: timing}
        models.PeriodicTask.objects.update_or_create(name=entry.name, defaults={
            "task": entry.task, "args": json.dumps(list(entry.args)), "kwargs": json.dumps(entry.kwargs),
            "headers": json.dumps(options.get("headers") or {}), "expire_seconds": _expiry(options),
            **{name: options.get(name) for name in _OPTIONS}, **columns,
        })  # fmt: skip

    @contextmanager
    def _database(self) -> Iterator[None]:
        from django.db import DatabaseError, InterfaceError, close_old_connections

        try:
            close_old_connections()
            yield
        except (DatabaseError, InterfaceError) as exc:
            raise OperationalError(f"the database of django-celery-beat: {exc}") from exc


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


def _models() -> Any:
    try:
        import django
        from django.apps import apps

        if not apps.ready:
            django.setup()
        if not apps.is_installed("django_celery_beat"):
            raise ConfigurationError("-S django needs django_celery_beat in INSTALLED_APPS")
        from django_celery_beat import models
    except ImportError as exc:
        raise ConfigurationError(f"-S django needs django-celery-beat: {exc}") from exc
    return models


def _expiry(options: Mapping[str, Any]) -> float | None:
    """The seconds after which a message is not run any more, from the options of an entry of the settings."""
    found = options.get("expire_seconds", options.get("expires"))
    return found if isinstance(found, int | float) else None


def _zones_count() -> bool:
    from django.conf import settings

    return bool(getattr(settings, "DJANGO_CELERY_BEAT_TZ_AWARE", True))


def _aware(moment: datetime | None) -> datetime | None:
    return None if moment is None else maybe_make_aware(moment)


def _stored(moment: datetime) -> datetime:
    """A time as Django's columns take it: without USE_TZ naive, which django-celery-beat reads as UTC."""
    from django.conf import settings

    utc = moment.astimezone(UTC)
    return utc if settings.USE_TZ else utc.replace(tzinfo=None)
