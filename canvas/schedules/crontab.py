"""Crontabs: the minutes, hours, days and months on which a task runs, by the wall clock of a time zone."""

from bisect import bisect_right
from calendar import monthrange
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any

from canvas.caller_warnings import ends_in_caller
from canvas.schedules.base_schedule import BaseSchedule, as_zone, between, schedstate
from canvas.schedules.cron_fields import Cronspec, crontab_parser, expanded

_DAYS_IN = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_LAST_YEAR = 9999
_FIELDS = ("minute", "hour", "day_of_week", "day_of_month", "month_of_year")


class ffwd:
    """A change of another time, made by adding it: fields of the wall clock, and a later day.

    ``year`` to ``microsecond`` replace fields; a ``day`` that the month does not have is its last. Then the time moves
    on to ``weekday`` (0 for Monday), and by ``weeks``. Other names have no effect.
    """

    def __init__(
        self, year: int | None = None, month: int | None = None, weeks: int = 0, weekday: int | None = None,
        day: int | None = None, hour: int | None = None, minute: int | None = None, second: int | None = None,
        microsecond: int | None = None, **kwargs: Any,
    ) -> None:  # fmt: skip
        self.year, self.month, self.day = year, month, day
        self.hour, self.minute, self.second, self.microsecond = hour, minute, second, microsecond
        self.weeks, self.weekday, self.days = weeks, weekday, weeks * 7

    def _fields(self, **more: Any) -> dict[str, Any]:
        names = ("year", "month", "day", "hour", "minute", "second", "microsecond")
        given = {name: getattr(self, name) for name in names} | more
        return {name: value for name, value in given.items() if value is not None}

    def __radd__(self, other: Any) -> Any:
        if not isinstance(other, date):
            return NotImplemented
        year, month = self.year or other.year, self.month or other.month
        day = min(monthrange(year, month)[1], self.day or other.day)
        # The first of two equal wall clock times, when the clock is set back.
        fold = {"fold": 0} if isinstance(other, datetime) else {}
        moved = other.replace(**self._fields(year=year, month=month, day=day, **fold))
        days = 0 if self.weekday is None else (self.weekday - moved.weekday()) % 7
        return moved + timedelta(days=days + self.days)

    def __repr__(self) -> str:
        fields = self._fields(weeks=self.weeks, weekday=self.weekday)
        return f"ffwd({', '.join(f'{name}={value!r}' for name, value in fields.items())})"


@ends_in_caller("__init__")
class crontab(BaseSchedule):
    """The minutes on which a task runs: those that match all five fields. A field without a value matches always.

    A field is a number, text (``"*/15"``, ``"1-5,10"``, ``"mon-fri"``; see ``crontab_parser``) or numbers. Minutes go
    from 0 to 59, hours from 0 to 23, days of the week from 0 (Sunday) to 6, days of the month from 1 to 31, months from
    1 to 12. Unlike cron, a day has to match both ``day_of_week`` and ``day_of_month``.

    The fields are read by the wall clock of the app's ``timezone``. When that clock is set forward, a time that it
    skips is taken as much later; when it is set back, a task runs in the first of the two equal hours. ``nowfun`` and
    ``app`` are those of ``BaseSchedule``.

    Raises ParseException, ValueError or TypeError for a field that cannot be read, that is out of range, or for days
    that none of the months have.
    """

    def __init__(
        self, minute: Cronspec | None = "*", hour: Cronspec | None = "*", day_of_week: Cronspec | None = "*",
        day_of_month: Cronspec | None = "*", month_of_year: Cronspec | None = "*", **kwargs: Any,
    ) -> None:  # fmt: skip
        given = [_listed("*" if spec is None else spec) for spec in (minute, hour, day_of_week, day_of_month,
                                                                     month_of_year)]  # fmt: skip
        self._orig_minute, self._orig_hour, self._orig_day_of_week = given[:3]
        self._orig_day_of_month, self._orig_month_of_year = given[3:]
        self._orig_kwargs = kwargs
        self.minute = self._numbers("minute", given[0], 60)
        self.hour = self._numbers("hour", given[1], 24)
        self.day_of_week = self._numbers("day_of_week", given[2], 7)
        self.day_of_month = self._numbers("day_of_month", given[3], 31, 1)
        self.month_of_year = self._numbers("month_of_year", given[4], 12, 1)
        self._check()
        for name in kwargs:
            if name not in ("nowfun", "app"):
                raise TypeError(f"crontab() got an unexpected keyword argument {name!r}")
        super().__init__(**kwargs)

    _expand_cronspec = staticmethod(expanded)

    def _numbers(self, name: str, spec: Cronspec, max_: int, min_: int = 0) -> set[int]:
        try:
            return self._expand_cronspec(spec, max_, min_)
        except (crontab_parser.ParseException, ValueError, TypeError) as exc:
            raise type(exc)(f"crontab: {name}: {exc}") from None

    def _check(self) -> None:
        if not any(day <= _DAYS_IN[month - 1] for month in self.month_of_year for day in self.day_of_month):
            raise ValueError(
                f"crontab: day_of_month {self._orig_day_of_month!r} never occurs in month_of_year "
                f"{self._orig_month_of_year!r}"
            )
        for name in ("minute", "hour", "day_of_week"):
            if not getattr(self, name):
                raise ValueError(f"crontab: {name} never occurs: expected at least one number")

    @classmethod
    def from_string(cls, crontab: str) -> "crontab":
        """The crontab that a line of cron describes: ``minute hour day_of_month month_of_year day_of_week``."""
        fields = crontab.split()
        if len(fields) != 5:
            raise ValueError(f"crontab.from_string: expected five fields with spaces between; got {crontab!r}")
        minute, hour, day_of_month, month_of_year, day_of_week = fields
        return cls(minute, hour, day_of_week, day_of_month, month_of_year)

    def remaining_delta(
        self, last_run_at: datetime, tz: str | tzinfo | None = None, ffwd: Any = ffwd
    ) -> tuple[datetime, Any, datetime]:
        """The last run in the crontab's zone, the change of it that gives the next one, and now in that zone."""
        zone = as_zone(tz or self.tz)
        last = self.maybe_make_aware(last_run_at).astimezone(zone)
        then = self._next_wall_time(last)
        fields = {"year": then.year, "month": then.month, "day": then.day, "hour": then.hour, "minute": then.minute}
        return last, ffwd(**fields, second=0, microsecond=0), self.maybe_make_aware(self.now()).astimezone(zone)

    def remaining_estimate(self, last_run_at: datetime, ffwd: Any = ffwd) -> timedelta:
        last, change, now = self.remaining_delta(last_run_at, ffwd=ffwd)
        then = last + change
        if then.astimezone(UTC) <= last.astimezone(UTC):
            # The last run was in the second of two equal hours, and so is the next.
            then = then.replace(fold=1)
        return between(then, now)

    def is_due(self, last_run_at: datetime) -> schedstate:
        """``BaseSchedule.is_due``. A run that is more than ``beat_cron_starting_deadline`` seconds late, if that is
        set, is not due any more."""
        left = self.remaining_estimate(last_run_at).total_seconds()
        if left > 0:
            return schedstate(False, left)
        due = not (left < 0 and self._is_stale())
        return schedstate(due, max(self.remaining_estimate(self.now()).total_seconds(), 0))

    def _is_stale(self) -> bool:
        """Whether there was no time to run within the deadline before now."""
        deadline = self.app.conf.beat_cron_starting_deadline
        if deadline is None:
            return False
        now = self.maybe_make_aware(self.now())
        # A run exactly as late as the deadline allows is not stale.
        since = now.astimezone(UTC) - timedelta(seconds=deadline, microseconds=1)
        return self.remaining_estimate(since).total_seconds() > 0

    def _next_wall_time(self, last: datetime) -> datetime:
        """The first matching minute of the wall clock after that of ``last``; naive."""
        wall = last.replace(tzinfo=None, fold=0)
        if self._matches(wall.date()):
            minutes, hours = sorted(self.minute), sorted(self.hour)
            if wall.hour in self.hour and wall.minute < minutes[-1]:
                return wall.replace(minute=minutes[bisect_right(minutes, wall.minute)])
            if wall.hour < hours[-1]:
                return wall.replace(hour=hours[bisect_right(hours, wall.hour)], minute=minutes[0])
        day = self._next_day(wall.date())
        return datetime(day.year, day.month, day.day, min(self.hour), min(self.minute))

    def _matches(self, day: date) -> bool:
        return (
            day.month in self.month_of_year
            and day.day in self.day_of_month
            and day.isoweekday() % 7 in self.day_of_week
        )

    def _next_day(self, after: date) -> date:
        """The first matching day after a day. Raises RuntimeError where the calendar has none."""
        days = sorted(self.day_of_month)
        for year in range(after.year, _LAST_YEAR + 1):
            for month in sorted(self.month_of_year):
                if (year, month) < (after.year, after.month):
                    continue
                for number in days:
                    day = _day(year, month, number)
                    if day is not None and day > after and day.isoweekday() % 7 in self.day_of_week:
                        return day
        raise RuntimeError(f"{self!r} never comes due after {after}")

    def __repr__(self) -> str:
        return (
            f"<crontab: {self._orig_minute} {self._orig_hour} {self._orig_day_of_month} {self._orig_month_of_year} "
            f"{self._orig_day_of_week} (m/h/dM/MY/d)>"
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, crontab):
            return NotImplemented
        same = all(getattr(self, name) == getattr(other, name) for name in _FIELDS)
        return same and super().__eq__(other)

    __hash__ = None

    def __reduce__(self) -> tuple[Any, ...]:
        fields = tuple(getattr(self, f"_orig_{name}") for name in _FIELDS)
        # An app is where the crontab is read, not a part of it.
        return self.__class__, fields, {name: value for name, value in self._orig_kwargs.items() if name != "app"}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        super().__init__(**state)
        self._orig_kwargs = dict(state)


def _listed(spec: Any) -> Any:
    """A field; an iterator, which can be read only once, becomes a list."""
    return (
        spec
        if isinstance(spec, int | str | set | list | tuple | frozenset) or not hasattr(spec, "__iter__")
        else [*spec]
    )


def _day(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None
