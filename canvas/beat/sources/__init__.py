"""Entries that are kept elsewhere: in django-celery-beat's tables, under celery-redbeat's keys."""

from importlib import import_module
from typing import Any

from canvas.beat.service import Service
from canvas.beat.setup import SetupApp
from canvas.beat.sources.source import EntrySource, SourceService

_DATABASE = "canvas.beat.sources.django_tables:DjangoTables"
_REDBEAT = "canvas.beat.sources.redbeat_keys:RedBeatKeys"
SOURCES = {
    "django": _DATABASE,
    "django_celery_beat.schedulers:DatabaseScheduler": _DATABASE,
    "django_celery_beat.schedulers.DatabaseScheduler": _DATABASE,
    "redbeat": _REDBEAT,
    "redbeat:RedBeatScheduler": _REDBEAT,
    "redbeat.RedBeatScheduler": _REDBEAT,
    "redbeat.schedulers:RedBeatScheduler": _REDBEAT,
    "redbeat.schedulers.RedBeatScheduler": _REDBEAT,
}
"""The class that reads the entries of a scheduler, by the names under which ``-S`` and ``beat_scheduler`` know it."""


def service_of(
    app: SetupApp, scheduler: str, max_interval: float | None = None, filename: str | None = None, **clock: Any
) -> Service:
    """Beat with the entries of ``scheduler``: a name of ``SOURCES``, or another one for the entries in the broker.

    ``filename``: as ``schedule_filename`` of ``Service``; ``clock``: its ``monotonic`` and ``wait``. Raises
    ConfigurationError when the server or the library of a source is not configured.
    """
    if scheduler not in SOURCES:
        return Service(app, max_interval, filename, **clock)
    module, _, name = SOURCES[scheduler].partition(":")
    source: EntrySource = getattr(import_module(module), name)(app)
    return SourceService(app, source, max_interval, **clock)
