"""The tables of django-celery-beat, by its models."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from canvas.errors import ConfigurationError, OperationalError
from canvas.schedules import crontab, schedule, solar
from canvas.schedules.base_schedule import BaseSchedule

OPTIONS = ("queue", "exchange", "routing_key", "priority")
"""Options of a call that have columns of their own."""


class PeriodicTables:
    """Reads and writes rows. Every method raises OperationalError while the database is unreachable."""

    def __init__(self) -> None:
        """Raises ConfigurationError where django-celery-beat is not installed, or not one of INSTALLED_APPS."""
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
        self._models = models

    def changed_at(self) -> datetime | None:
        """When a person, or a program, changed a row last."""
        with _database():
            return self._models.PeriodicTasks.last_change()  # type: ignore[no-any-return]

    def enabled(self) -> list[Any]:
        """The rows of the periodic tasks that are enabled."""
        with _database():
            rows = self._models.PeriodicTask.objects.enabled()
            return list(rows.select_related("interval", "crontab", "solar", "clocked"))

    def ran(self, row: Any, moment: datetime) -> None:
        """Write when a row's task ran last and count the run; a task that is to run once is disabled. Does nothing when
        that time is written already, and leaves the columns alone that other programs may have changed."""
        from django.db.models import F, Q

        time = _stored(moment)
        changes = {"last_run_at": time, "total_run_count": F("total_run_count") + 1}
        if row.one_off:
            changes = {"last_run_at": None, "total_run_count": 0, "enabled": False}
        before = Q(last_run_at__isnull=True) | Q(last_run_at__lt=time)
        with _database():
            self._models.PeriodicTask.objects.filter(before, pk=row.pk, enabled=True).update(**changes)

    def disable(self, row: Any) -> None:
        """Run a row's task no more."""
        with _database():
            self._models.PeriodicTask.objects.filter(pk=row.pk).update(enabled=False, last_run_at=None)

    def put(
        self, name: str, task: str, timing: BaseSchedule, args: tuple[Any, ...], kwargs: Mapping[str, Any],
        options: Mapping[str, Any],
    ) -> None:  # fmt: skip
        """Write a row for an entry of the settings, as ModelEntry.from_entry does. Raises ConfigurationError for a kind
        of schedule that has no table, TypeError for arguments that JSON does not have."""
        with _database():
            column, row = self._timing(name, timing)
            columns = {"crontab": None, "interval": None, "solar": None, "clocked": None, column: row}
            self._models.PeriodicTask.objects.update_or_create(name=name, defaults={
                "task": task, "args": json.dumps(list(args)), "kwargs": json.dumps(dict(kwargs)),
                "headers": json.dumps(options.get("headers") or {}), "expire_seconds": _expiry(options),
                **{option: options.get(option) for option in OPTIONS}, **columns,
            })  # fmt: skip

    def _timing(self, name: str, timing: BaseSchedule) -> tuple[str, Any]:
        """The column of a schedule, and its row, which is saved."""
        models = self._models
        kinds = {"crontab": (crontab, models.CrontabSchedule), "interval": (schedule, models.IntervalSchedule),
                 "solar": (solar, models.SolarSchedule)}  # fmt: skip
        for column, (kind, model) in kinds.items():
            if isinstance(timing, kind):
                row = model.from_schedule(timing)
                row.save()
                return column, row
        raise ConfigurationError(f"schedule entry {name!r}: there is no table for a {type(timing).__name__}")


def zones_count() -> bool:
    """Whether crontabs go by the time zones of their rows."""
    from django.conf import settings

    return bool(getattr(settings, "DJANGO_CELERY_BEAT_TZ_AWARE", True))


@contextmanager
def _database() -> Iterator[None]:
    from django.db import DatabaseError, InterfaceError, close_old_connections

    try:
        close_old_connections()
        yield
    except (DatabaseError, InterfaceError) as exc:
        raise OperationalError(f"the database of django-celery-beat: {exc}") from exc


def _expiry(options: Mapping[str, Any]) -> float | None:
    """The seconds after which a message is not run any more, from the options of an entry of the settings."""
    found = options.get("expire_seconds", options.get("expires"))
    return found if isinstance(found, int | float) else None


def _stored(moment: datetime) -> datetime:
    """A time as Django's columns take it: without USE_TZ naive, which django-celery-beat reads as UTC."""
    from django.conf import settings

    utc = moment.astimezone(UTC)
    return utc if settings.USE_TZ else utc.replace(tzinfo=None)
