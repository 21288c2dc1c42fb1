"""Where entries are kept: the broker; django-celery-beat's tables; celery-redbeat's keys; a scheduler class."""

from importlib import import_module
from typing import Any

from canvas.beat.running import BeatService
from canvas.beat.scheduler_classes.scheduler import SchedulerApp
from canvas.beat.service import Service
from canvas.beat.sources.source import EntrySource, SourceService

_DATABASE = "canvas.beat.sources.django_celery_beat:DjangoTables"
_REDBEAT = "canvas.beat.sources.redbeat:RedBeatKeys"
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

OWN = frozenset(
    {"", "canvas.beat:PersistentScheduler", "celery.beat:PersistentScheduler", "celery.beat.PersistentScheduler"}
)
"""Names of the scheduler in whose place canvas keeps the entries in the broker."""


def service_of(
    app: SchedulerApp, scheduler: Any, max_interval: float | None = None, filename: str | None = None, **clock: Any
) -> BeatService:
    """Beat with the entries of ``scheduler``: a name of ``OWN`` or ``SOURCES``, or a scheduler class or its path.

    ``filename``: as ``schedule_filename`` of ``Service``; ``clock``: its ``monotonic`` and ``wait``. Raises
    ConfigurationError when there is no such class, or the server or library of a source is not configured.
    """
    if scheduler in OWN:
        return Service(app, max_interval, filename, **clock)
    if scheduler in SOURCES:
        module, _, name = SOURCES[scheduler].partition(":")
        source: EntrySource = getattr(import_module(module), name)(app)
        return SourceService(app, source, max_interval, **clock)
    from canvas.beat.scheduler_classes.service import SchedulerService, scheduler_class

    return SchedulerService(app, max_interval, filename, scheduler_class(scheduler))
