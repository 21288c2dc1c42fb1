"""Schedules give what Celery's give: over years, and around every change of the clocks."""

import pickle
import random
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import celery
import pytest
from celery import schedules as theirs

from canvas import Canvas
from canvas import schedules as ours
from canvas.errors import ConfigurationError

ZONES = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo", "Africa/Cairo"]
CRONTABS = [
    {},
    {"minute": "*/15"},
    {"minute": 0},
    {"minute": "30", "hour": "2"},
    {"minute": "0,30", "hour": "0-3"},
    {"minute": 5, "hour": "*/4", "day_of_week": "sun"},
    {"minute": "59", "hour": "23", "day_of_month": "28-31"},
    {"minute": 10, "hour": "3,22", "day_of_week": "mon-fri", "month_of_year": "*/3"},
    {"minute": 0, "hour": 0, "day_of_month": 29, "month_of_year": 2},
    {"minute": "50-10/5", "hour": "22-2", "day_of_month": "*/3,10-19"},
]
INTERVALS = [
    (10, False),
    (0.5, False),
    (3600, True),
    (60, True),
    (86_400, True),
    (7200, False),
    (172_800, True),
    (5400, True),
]


@pytest.fixture(scope="module", params=ZONES)
def apps(request):
    mine = Canvas("mine", broker="memory://", backend="memory://", set_as_current=False, timezone=request.param)
    celerys = celery.Celery("theirs", set_as_current=False)
    celerys.conf.timezone = request.param
    return mine, celerys, ZoneInfo(request.param)


def changes_of_clocks(zone, first=2015, last=2026):
    """The moments at which the offset of a zone changes."""
    step, moment, end = timedelta(hours=6), datetime(first, 1, 1, tzinfo=UTC), datetime(last, 1, 1, tzinfo=UTC)
    while moment < end:
        low, high = moment, moment + step
        if low.astimezone(zone).utcoffset() != high.astimezone(zone).utcoffset():
            while high - low > timedelta(minutes=1):
                middle = low + (high - low) / 2
                same = middle.astimezone(zone).utcoffset() == low.astimezone(zone).utcoffset()
                low, high = (middle, high) if same else (low, middle)
            yield high.replace(second=0, microsecond=0)
        moment += step


def pair(apps, make):
    mine, celerys, _ = apps
    return make(ours, mine), make(theirs, celerys)


def answers(schedule, last, now):
    schedule.nowfun = lambda: now
    return schedule.remaining_estimate(last), tuple(schedule.is_due(last))


@pytest.fixture(scope="module")
def changes(apps):
    """Those of ten years in the zone."""
    return list(changes_of_clocks(apps[2]))


def second_of_two(moment, zone):
    return moment.astimezone(zone).fold == 1


def compare(apps, make, moments):
    own, reference = pair(apps, make)
    for last, now in moments:
        mine, expected = answers(own, last, now), answers(reference, last, now)
        assert mine == expected, (last, now, own)


def times_around(change, zone):
    chosen = random.Random(str(change))
    for _ in range(8):
        last = (change + timedelta(minutes=chosen.randint(-1600, 1600), seconds=chosen.choice([0, 0, 17]))).astimezone(
            zone
        )
        yield last, last + timedelta(seconds=chosen.choice([0, 30, 60, 1800, 3600, 9000, 90_000]))


@pytest.mark.parametrize("fields", CRONTABS, ids=str)
def test_crontab_around_changes_of_the_clocks(apps, changes, fields):
    zone = apps[2]
    for change in changes:
        moments = [
            (last, now) for last, now in times_around(change, zone)
            # Celery takes the next run of a last run in the second of two equal hours to be in the past, and repeats
            # the task without a pause until the hour is over; test_crontab_in_the_second_of_two_equal_hours.
            if not second_of_two(last, zone) and not second_of_two(now, zone)
        ]  # fmt: skip
        compare(apps, lambda module, app: module.crontab(**fields, app=app), moments)


@pytest.mark.parametrize(("every", "relative"), INTERVALS)
def test_intervals_around_changes_of_the_clocks(apps, changes, every, relative):
    zone = apps[2]
    for change in changes:
        compare(apps, lambda module, app: module.schedule(every, relative, app=app), times_around(change, zone))


@pytest.mark.parametrize("fields", CRONTABS, ids=str)
def test_crontab_over_years(apps, fields):
    chosen = random.Random(str(fields))
    start = datetime(2021, 1, 1, tzinfo=UTC)
    zone = apps[2]
    moments = []
    while len(moments) < 120:
        last = (start + timedelta(seconds=chosen.randint(0, 8 * 365 * 86_400))).astimezone(zone)
        now = last + timedelta(seconds=chosen.choice([0, 61, 3_600, 86_400, 40 * 86_400]))
        if not second_of_two(last, zone) and not second_of_two(now, zone):
            moments.append((last, now))
    compare(apps, lambda module, app: module.crontab(**fields, app=app), moments)


def test_crontab_in_the_second_of_two_equal_hours():
    zone = ZoneInfo("Europe/Berlin")
    app = Canvas("mine", broker="memory://", set_as_current=False, timezone="Europe/Berlin")
    now = datetime(2025, 10, 26, 2, 20, tzinfo=zone, fold=1)
    quarter = ours.crontab(minute="*/15", app=app, nowfun=lambda: now)
    assert quarter.is_due(now) == (False, 600)
    earlier = datetime(2025, 10, 26, 2, 10, tzinfo=zone, fold=1)
    assert quarter.remaining_estimate(earlier) == timedelta(minutes=-5)
    assert quarter.is_due(earlier) == (True, 600)


@pytest.mark.parametrize("form", ["* * * * *", "*/5 1-3 * jan-mar mon,wed", "0 8 5 * *", "0 0 1 1 sun"])
def test_from_string_and_pickle(form):
    made = ours.crontab.from_string(form)
    assert made == pickle.loads(pickle.dumps(made))
    assert repr(made) == repr(theirs.crontab.from_string(form))
    reference = theirs.crontab.from_string(form)
    for name in ("minute", "hour", "day_of_week", "day_of_month", "month_of_year"):
        assert getattr(made, name) == getattr(reference, name)


def test_pickle_leaves_the_app_out():
    app = Canvas("mine", broker="memory://", set_as_current=False)
    assert pickle.loads(pickle.dumps(ours.crontab(minute=3, app=app))) == ours.crontab(minute=3)
    assert pickle.loads(pickle.dumps(ours.schedule(30, True))) == ours.schedule(30)


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: ours.crontab(minute=60), ValueError, "from 0 to 59; got 60"),
        (lambda: ours.crontab(hour="24"), ValueError, "from 0 to 23; got '24'"),
        (lambda: ours.crontab(day_of_week="fryday"), ValueError, "name of a day or a month; got 'fryday'"),
        (lambda: ours.crontab(day_of_month=30, month_of_year=2), ValueError, "never occurs"),
        (lambda: ours.crontab(minute=[]), ValueError, "minute never occurs"),
        (lambda: ours.crontab(minute=1.5), TypeError, "got float"),
        (lambda: ours.crontab(minute="*/"), ours.ParseException, "after the slash"),
        (lambda: ours.crontab(minute="1,,2"), ours.ParseException, "empty part"),
        (lambda: ours.crontab.from_string("* * *"), ValueError, "five fields"),
        (lambda: ours.schedule("daily"), ConfigurationError, "expected seconds or a timedelta"),
        (lambda: ours.maybe_schedule("daily"), ConfigurationError, "a crontab or another schedule"),
    ],
)
def test_errors_say_what_was_expected(make, error, text):
    with pytest.raises(error, match=text.replace("(", r"\(")):
        make()


@pytest.mark.parametrize(
    "spec",
    [
        "*",
        "*/3",
        "1-9/2,30",
        "22-2",
        "55-5/3",
        "7",
        "mon",
        "jan-mar",
        "0-59/7,1,2",
        "5/2",
        "*5",
        "1-",
        "x-3",
        "a",
        "-3",
        "1-3/x",
        "*/0",
    ],
)
def test_parser_reads_as_celerys(spec):
    for size, first in ((60, 0), (24, 0), (7, 0), (31, 1), (12, 1)):
        found = []
        for module in (ours, theirs):
            try:
                found.append(module.crontab_parser(size, first).parse(spec))
            except Exception as exc:  # noqa: BLE001 - which error it is, is compared
                found.append(type(exc).__name__)
        assert found[0] == found[1], (spec, size, first)


def test_solar_gives_celerys_times():
    app, celerys = (
        Canvas("mine", broker="memory://", set_as_current=False),
        celery.Celery("theirs", set_as_current=False),
    )
    for event in sorted(ours.solar._all_events):
        for lat, lon in ((51.5, -0.1), (-33.9, 151.2), (69.6, 18.9)):
            for month in range(1, 13):
                now = datetime(2026, month, 11, 7, 30, tzinfo=UTC)
                pair = [
                    module.solar(event, lat, lon, app=own, nowfun=lambda now=now: now)
                    for module, own in ((ours, app), (theirs, celerys))
                ]
                assert pair[0].remaining_estimate(now) == pair[1].remaining_estimate(now)
