"""Intervals: a task runs once in a fixed number of seconds."""

from datetime import UTC, datetime, timedelta
from numbers import Real
from typing import Any

from canvas.errors import ConfigurationError
from canvas.schedules.base_schedule import BaseSchedule, NowFunction, ScheduleApp, between, humanized, schedstate

_DAY, _HOUR, _MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)


class schedule(BaseSchedule):
    """A task that runs every ``run_every``: seconds, or a timedelta.

    With ``relative`` runs fall on whole days, hours or minutes of the app's zone, by the interval's own unit: every two
    hours means on the hour. Days are days of the calendar. ``nowfun`` and ``app`` are those of ``BaseSchedule``.
    Raises ConfigurationError for an interval that is neither.
    """

    relative: bool = False

    def __init__(
        self, run_every: float | timedelta | None = None, relative: bool = False, nowfun: NowFunction | None = None,
        app: ScheduleApp | None = None,
    ) -> None:  # fmt: skip
        self.run_every = _interval(run_every)
        self.relative = relative
        super().__init__(nowfun=nowfun, app=app)

    @property
    def seconds(self) -> float:
        """The interval in seconds, 0 at least."""
        return max(self.run_every.total_seconds(), 0)

    @property
    def human_seconds(self) -> str:
        """The interval in words."""
        return humanized(self.seconds)

    def remaining_estimate(self, last_run_at: datetime) -> timedelta:
        """The time until the next run, if the last one was at ``last_run_at``; negative if it is late."""
        last = self.maybe_make_aware(last_run_at)
        then = relative_end(last, self.run_every) if self.relative else last.astimezone(UTC) + self.run_every
        return between(then, self.maybe_make_aware(self.now()))

    def is_due(self, last_run_at: datetime) -> schedstate:
        """Whether it is due, if the last run was at ``last_run_at``, and in how many seconds to look again."""
        last = self.maybe_make_aware(last_run_at)
        left = self.remaining_estimate(last).total_seconds()
        if left > 0:
            return schedstate(False, left)
        if self.relative:
            now = self.maybe_make_aware(self.now()).astimezone(last.tzinfo)
            to_boundary = self.remaining_estimate(now).total_seconds()
            if to_boundary > 0:
                return schedstate(True, to_boundary)
        return schedstate(True, self.seconds)

    def __repr__(self) -> str:
        return f"<freq: {self.human_seconds}>"

    def __eq__(self, other: object) -> bool:
        return self.run_every == (other.run_every if isinstance(other, schedule) else other)

    __hash__ = None

    def __reduce__(self) -> tuple[Any, ...]:
        return self.__class__, (self.run_every, self.relative, self.nowfun)


def maybe_schedule(s: Any, relative: bool = False, app: ScheduleApp | None = None) -> Any:
    """The schedule that a number (seconds), a timedelta or a schedule stands for, with ``app`` as its app; ``None``
    for ``None``. Raises ConfigurationError for anything else."""
    if s is None:
        return None
    if isinstance(s, timedelta) or (isinstance(s, int | float) and not isinstance(s, bool)):
        return schedule(s, relative, app=app)
    if not callable(getattr(s, "is_due", None)):
        raise ConfigurationError(f"expected seconds, a timedelta, a crontab or another schedule; got {s!r:.100}")
    s.app = app
    return s


def _interval(given: Any) -> timedelta:
    if isinstance(given, Real) and given is not True and given is not False:
        try:
            return timedelta(seconds=float(given))
        except (OverflowError, ValueError):  # infinite, no number, or longer than a timedelta can be
            raise ConfigurationError(f"schedule: expected seconds or a timedelta; got {given!r:.100}") from None
    if isinstance(given, timedelta):
        return given
    raise ConfigurationError(f"schedule: expected seconds or a timedelta; got {given!r:.100}")


def relative_end(start: datetime, every: timedelta) -> datetime:
    """The last whole day, hour or minute of the wall clock that is at most ``every`` after ``start``, and after it."""
    start_utc = start.astimezone(UTC)
    if every >= _DAY:
        end = start + every  # by the calendar: Python adds to the wall clock
        later = [moment for moment in _occurrences(_floor(end, every)) if moment > start_utc]
        return min(later, default=end.astimezone(UTC))
    end_utc = start_utc + every
    end = end_utc.astimezone(start.tzinfo)
    found = _occurrences(_floor(end, every))
    chosen = _latest(found, end_utc)
    if every >= _MINUTE and chosen <= start_utc:
        # The clock was set back by part of a unit: the boundary is one that the unrounded times do not lead to.
        unit = _HOUR if every >= _HOUR else _MINUTE
        found += _occurrences(_floor(end + unit, every)) + _occurrences(_floor(start + every, every))
        later = [moment for moment in found if moment > start_utc]
        chosen = _latest(later, end_utc) if later else end_utc
    return chosen


def _latest(moments: list[datetime], end: datetime) -> datetime:
    """The latest moment that is not after ``end``; the earliest one if all are after it."""
    early = [moment for moment in moments if moment <= end]
    return max(early) if early else min(moments)


def _floor(moment: datetime, every: timedelta) -> datetime:
    """The wall clock without what is smaller than the interval's unit."""
    if every >= _DAY:
        return moment.replace(hour=0, minute=0, second=0, microsecond=0)
    if every >= _HOUR:
        return moment.replace(minute=0, second=0, microsecond=0)
    if every >= _MINUTE:
        return moment.replace(second=0, microsecond=0)
    return moment.replace(microsecond=0)


def _occurrences(wall: datetime) -> list[datetime]:
    """When the wall clock shows this time: twice where it is set back. A time that it skips counts as much later."""
    first = wall.replace(fold=0)
    back = first.astimezone(UTC).astimezone(first.tzinfo)
    naive = first.replace(tzinfo=None)
    if back.replace(tzinfo=None, fold=0) != naive:
        # Zones of different libraries disagree about the offset of such a time, but not about that of the day before.
        offset = (first - _DAY).utcoffset() or timedelta()
        return [(naive - offset).replace(tzinfo=UTC)]
    return [wall.replace(fold=fold).astimezone(UTC) for fold in (0, 1)]
