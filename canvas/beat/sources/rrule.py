"""RedBeat's schedules by recurrence rules, which dateutil computes."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from canvas.schedules.base_schedule import BaseSchedule, ScheduleApp, schedstate

_FAR = timedelta(days=36_500)
_PARTS = ("wkst", "count", "bysetpos", "bymonth", "bymonthday", "byweekday", "byyearday", "byeaster", "byweekno",
          "byhour", "byminute", "bysecond")  # fmt: skip


class Rule(BaseSchedule):
    """Due at the times of an ``rrule``; never again after its last one."""

    def __init__(self, rule: Any, app: ScheduleApp) -> None:
        super().__init__(app=app)
        self._rule = rule

    def remaining_estimate(self, last_run_at: datetime) -> timedelta:
        following = self._rule.after(last_run_at)
        return _FAR if following is None else following - self.now()

    def is_due(self, last_run_at: datetime) -> schedstate:
        left = self.remaining_estimate(last_run_at)
        if left.total_seconds() > 0:
            return schedstate(False, left.total_seconds())
        return schedstate(True, max(0.0, self.remaining_estimate(self.now()).total_seconds()))

    def __repr__(self) -> str:
        return f"<rrule: {str(self._rule)!r}>"


def rule_of(about: dict[str, Any], app: ScheduleApp) -> Rule:
    """The schedule of RedBeat's JSON object. Raises ImportError without dateutil, ValueError for a wrong rule."""
    from dateutil import rrule

    times = {part: _moment(about.get(part), about.get(f"{part}_tz", 0)) for part in ("dtstart", "until")}
    parts = {part: about.get(part) for part in _PARTS}
    start = times["dtstart"] or app.now()
    made = rrule.rrule(about["freq"], start, about.get("interval") or 1, until=times["until"], **parts)
    return Rule(made, app)


def _moment(timestamp: float | None, minutes: float) -> datetime | None:
    if timestamp is None:
        return None
    return datetime.fromtimestamp(timestamp, timezone(timedelta(minutes=minutes)) if minutes else UTC)
