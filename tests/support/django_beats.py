"""Periodic tasks of django-celery-beat, by its own scheduler or by canvas': ``python -m tests.support.django_beats LIBRARY DATABASE``.
With ``frequent`` instead of a library it only makes the tables, with one task. ``LIBRARY wrong DATABASE`` runs rows that are
no entries, each alone beside a good one, and prints what became of each: [it ran, the error that ended beat, it is enabled].

Prints the ticks, as [seconds since the start, entry], and what the rows say at the end.
"""

import json
import sys
from datetime import UTC, datetime, timedelta

import django
from django.conf import settings
from freezegun import freeze_time
from sqlalchemy import make_url

START = datetime(2025, 3, 29, 22, 0, 30, tzinfo=UTC)
ZONE = "Europe/Berlin"
HOURS = 14


def configure(database):
    """``database``: the path of a file of SQLite, or the URL of a database of PostgreSQL."""
    found = {"ENGINE": "django.db.backends.sqlite3", "NAME": database}
    if database.startswith("postgresql"):
        url = make_url(database)
        found = {"ENGINE": "django.db.backends.postgresql", "NAME": url.database, "USER": url.username,
                 "HOST": url.host or url.query.get("host"), "PORT": url.port or ""}  # fmt: skip
    settings.configure(
        INSTALLED_APPS=["django_celery_beat"], USE_TZ=True, TIME_ZONE=ZONE, DEFAULT_AUTO_FIELD="django.db.models.AutoField",
        DATABASES={"default": found},
    )  # fmt: skip
    django.setup()


def set_up(database):
    configure(database)
    from django.core.management import call_command

    call_command("migrate", verbosity=0)


def add_frequent_row():
    """One task, each 50 ms."""
    from django_celery_beat.models import IntervalSchedule, PeriodicTask

    often = IntervalSchedule.objects.create(every=50_000, period="microseconds")
    PeriodicTask.objects.create(name="often", task="add", args="[1, 1]", interval=often)


def add_rows():
    from django_celery_beat.models import (
        ClockedSchedule,
        CrontabSchedule,
        IntervalSchedule,
        PeriodicTask,
        SolarSchedule,
    )

    def add(name, **fields):
        headers = json.dumps({"entry": name})
        return PeriodicTask.objects.create(name=name, task="add", args="[1, 2]", headers=headers, **fields)

    hourly = IntervalSchedule.objects.create(every=1, period="hours")
    often = IntervalSchedule.objects.create(every=7_000, period="seconds")
    night = CrontabSchedule.objects.create(minute="*/30", hour="1-3", timezone=ZONE)
    tokyo = CrontabSchedule.objects.create(minute="15", hour="9", timezone="Asia/Tokyo")
    noon = SolarSchedule.objects.create(event="solar_noon", latitude=52.5, longitude=13.4)
    later = ClockedSchedule.objects.create(clocked_time=START + timedelta(hours=5))
    add("hourly", interval=hourly)
    add("often", interval=often, queue="celery", priority=3)
    add("night", crontab=night)
    add("tokyo", crontab=tokyo)
    add("noon", solar=noon)
    add("clocked", clocked=later, one_off=True)
    add("once", interval=often, one_off=True)
    add("off", interval=hourly, enabled=False)
    add("starts", interval=hourly, start_time=START + timedelta(hours=10))
    add("ends", interval=hourly, expires=START + timedelta(hours=6, minutes=30))
    add("short", interval=hourly, expire_seconds=40)


def celerys():
    """A function that sends what is due and returns the entries that were sent and the seconds to wait."""
    import celery
    from django_celery_beat.schedulers import DatabaseScheduler

    app = celery.Celery("theirs", broker="memory://", timezone=ZONE, beat_max_loop_interval=300, result_expires=None)
    scheduler, sent = DatabaseScheduler(app), []

    def note(entry, **_):
        sent.append(entry.name)
        scheduler.sync()

    scheduler.apply_async = note

    def tick():
        sent.clear()
        wait = scheduler.tick()
        return list(sent), wait

    return tick


def canvas():
    from canvas import Canvas
    from canvas.beat.sources import service_of
    from canvas.drivers.ports.values import Lease
    from canvas.testing.clock import ManualClock
    from tests.support.messages import decode

    clock = ManualClock(START.timestamp())
    app = Canvas("ours", broker=clock.url, backend=clock.url, timezone=ZONE, result_expires=None)
    app.task(lambda x, y: x + y, name="add")
    service = service_of(app, "django", 300, monotonic=clock.time, wait=clock.wait)

    def tick():
        clock.move(datetime.now(UTC).timestamp() - clock.time())
        wait = service.tick()
        taken = app.driver.broker.lease(Lease("w", ("celery",), 1_000))
        return [decode(one.payload, accept=app.accept_content).headers["periodic_task_name"] for one in taken], wait

    return tick


def run(library):
    seen = []
    with freeze_time(START.replace(tzinfo=None)) as frozen:
        add_rows()
        tick, passed = (celerys if library == "celery" else canvas)(), 0.0
        while passed < HOURS * 3600:
            sent, wait = tick()
            seen += [(round(passed), name) for name in sent if name != "celery.backend_cleanup"]
            if wait > 0 or not sent:
                wait = max(wait, 1)
                frozen.tick(timedelta(seconds=wait))
                passed += wait
        return seen


def add_wrong_rows():
    from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask, SolarSchedule

    often = IntervalSchedule.objects.create(every=10, period="seconds")
    wrong = {
        "range": {"crontab": CrontabSchedule.objects.create(minute="75")},
        "syntax": {"crontab": CrontabSchedule.objects.create(minute="*/")},
        "never": {"crontab": CrontabSchedule.objects.create(day_of_month="31", month_of_year="2")},
        "huge": {"interval": IntervalSchedule.objects.create(every=2**31 - 1, period="days")},
        "event": {"solar": SolarSchedule.objects.create(event="moonrise", latitude=1, longitude=2)},
        "args": {"interval": often, "args": "[1,"},
        "headers": {"interval": often, "headers": "{"},
        "headers list": {"interval": often, "headers": "[]"},
        "no schedule": {},
    }
    for name, fields in {**wrong, "good": {"interval": often, "args": "[1, 2]"}}.items():
        PeriodicTask.objects.create(name=name, task="add", interval=often)
        PeriodicTask.objects.filter(name=name).update(**{"interval": None, **fields})
    return list(wrong)


def run_wrong(library):
    from django_celery_beat.models import PeriodicTask

    every, found = PeriodicTask.objects, {}
    with freeze_time(START.replace(tzinfo=None)) as frozen:
        for name in add_wrong_rows():
            every.update(enabled=False)
            every.filter(name__in=[name, "good"]).update(enabled=True)
            error, sent = None, []
            try:
                tick = (celerys if library == "celery" else canvas)()
                for _ in range(30):
                    sent += tick()[0]
                    frozen.tick(timedelta(seconds=1))
            except Exception as exc:  # noqa: BLE001 - it is what is compared
                error = type(exc).__name__
            found[name] = ["good" in sent, error, every.get(name=name).enabled]
    return found


def rows():
    from django_celery_beat.models import PeriodicTask

    fields = ("name", "enabled", "total_run_count", "last_run_at")
    found = PeriodicTask.objects.exclude(name="celery.backend_cleanup").order_by("name").values_list(*fields)
    return [(*some, moment and round((moment - START).total_seconds())) for *some, moment in found]


if __name__ == "__main__":
    set_up(sys.argv[-1])
    if sys.argv[2] == "wrong":
        print(json.dumps(run_wrong(sys.argv[1])))
        sys.exit()
    if sys.argv[1] == "frequent":
        add_frequent_row()
        sys.exit()
    print(json.dumps([sorted(run(sys.argv[1])), rows()]))
