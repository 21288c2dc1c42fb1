"""When periodic tasks run: ``crontab``, ``schedule`` (an interval), ``solar``. The names are those of
``celery.schedules``.

A schedule knows two times: when its task ran last, which it is given, and now, by its ``nowfun`` or by its app's clock.
From these it computes whether the task is due and how long it is until then.
"""

from canvas.schedules.base_schedule import BaseSchedule, maybe_make_aware, schedstate
from canvas.schedules.cron_fields import ParseException, crontab_parser
from canvas.schedules.crontab import crontab
from canvas.schedules.interval import maybe_schedule, schedule
from canvas.schedules.solar import solar

__all__ = [
    "BaseSchedule",
    "ParseException",
    "crontab",
    "crontab_parser",
    "maybe_make_aware",
    "maybe_schedule",
    "schedstate",
    "schedule",
    "solar",
]
