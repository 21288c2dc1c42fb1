"""Crontabs around changes of the clocks beside cronsim, which is no part of Celery.

Both agree but for the hour that a change leaves out, and the one that it repeats: there canvas does what Celery does.
"""

from datetime import UTC, timedelta
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim

from canvas import Canvas
from canvas.schedules import crontab
from tests.unit.test_schedules_like_celery import changes_of_clocks

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
ZONES = ["Europe/Berlin", "America/New_York", "America/Sao_Paulo", "Africa/Cairo"]
"""Their clocks change by an hour; cronsim leaves out runs after a change by half an hour."""
FIELDS = ["*/15 *", "0 *", "30 2", "0,30 0-3", "5 */4", "*/15 2", "0 3", "15 0", "30 1", "59 23"]


def ticks(fields, zone, start, end):
    """The moments at which a beat that looks each minute finds a crontab due."""
    app = Canvas("mine", broker="memory://", set_as_current=False, timezone=zone.key)
    now = last = start.astimezone(zone)
    schedule = crontab(*fields.split(), app=app, nowfun=lambda: now)
    found = []
    for minute in range(int((end - start) / MINUTE)):
        now = (start + minute * MINUTE).astimezone(zone)
        if schedule.is_due(last).is_due:
            last = now
            found.append(now.astimezone(UTC))
    return found


def expected(fields, zone, start, end):
    """Those of cronsim."""
    times = CronSim(f"{fields} * * *", start.astimezone(zone))
    found = []
    while (moment := next(times).astimezone(UTC)) < end:
        found.append(moment)
    return found


def wall_clock(moment, zone):
    return moment.astimezone(zone).replace(tzinfo=None)


@pytest.mark.parametrize("last", [2, pytest.param(100, marks=pytest.mark.slow)], ids=["last two", "ten years"])
@pytest.mark.parametrize("fields", FIELDS)
@pytest.mark.parametrize("zone", [ZoneInfo(name) for name in ZONES], ids=str)
def test_runs_around_a_change_of_the_clocks(zone, fields, last):
    for change in list(changes_of_clocks(zone))[-last:]:
        shift = change.astimezone(zone).utcoffset() - (change - MINUTE).astimezone(zone).utcoffset()
        start, end = change - 5 * HOUR, change + 6 * HOUR
        found, theirs = ticks(fields, zone, start, end), expected(fields, zone, start, end)
        in_change = [moment for moment in found if change <= moment < change + HOUR]
        outside = [moment for moment in theirs if not change <= moment < change + HOUR]
        assert [moment for moment in found if moment not in in_change] == outside
        if shift < timedelta(0):
            assert in_change == []  # the runs of this hour were in the first of the two
        else:
            # A run that the change leaves out comes an hour later, at the wall clock's time of a run of that hour.
            wall = {wall_clock(moment, zone) for moment in in_change}
            after = wall_clock(change, zone).replace(tzinfo=UTC)
            left_out = expected(fields, ZoneInfo("UTC"), after - HOUR - MINUTE, after)
            usual = {wall_clock(moment, zone) for moment in theirs if change <= moment < change + HOUR}
            assert wall <= usual | {moment.replace(tzinfo=None) + HOUR for moment in left_out}
            assert bool(wall) == bool(usual or left_out)
