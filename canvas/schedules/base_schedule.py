"""The base of all schedules: a clock, a time zone, and the answer to "is it due?"."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cached_property
from typing import NamedTuple, Protocol
from zoneinfo import ZoneInfo

from canvas.config.config import Config
from canvas.context import current_app

NowFunction = Callable[[], datetime]


class ScheduleApp(Protocol):
    """The parts of an app that schedules need."""

    @property
    def conf(self) -> Config: ...

    @property
    def timezone(self) -> tzinfo: ...

    def now(self) -> datetime: ...


class schedstate(NamedTuple):
    """Whether a task is due, and the seconds until it is to be looked at again."""

    is_due: bool
    next: float


def is_naive(dt: datetime) -> bool:
    """Whether a time has no zone."""
    return dt.tzinfo is None or dt.tzinfo.utcoffset(dt) is None


def maybe_make_aware(dt: datetime, tz: tzinfo | None = None, naive_as_utc: bool = True) -> datetime:
    """``dt`` with a time zone.

    A naive time counts as UTC and is converted to ``tz`` (default: UTC); with ``naive_as_utc=False`` it counts as a
    time of ``tz``. Other times are returned as they are.
    """
    if not is_naive(dt):
        return dt
    if naive_as_utc:
        return dt.replace(tzinfo=UTC).astimezone(tz or UTC)
    return dt.replace(tzinfo=tz or UTC)


def as_zone(tz: str | tzinfo) -> tzinfo:
    """The time zone of that name, or ``tz`` itself."""
    return ZoneInfo(tz) if isinstance(tz, str) else tz


class BaseSchedule:
    """The base of schedules; a subclass computes ``remaining_estimate``.

    ``nowfun`` returns the current time (default: the app's clock). ``app`` gives the clock, the time zone and the
    settings (default: the current app).
    """

    _tz: tzinfo | None = None

    def __init__(self, nowfun: NowFunction | None = None, app: ScheduleApp | None = None) -> None:
        self.nowfun = nowfun
        self._app = app

    @property
    def app(self) -> ScheduleApp:
        """The app whose clock, time zone and settings count."""
        found: ScheduleApp = self._app if self._app is not None else current_app()
        return found

    @app.setter
    def app(self, app: ScheduleApp | None) -> None:
        self._app = app

    @property
    def tz(self) -> tzinfo:
        """The time zone of the app, or one that was set."""
        return as_zone(self.app.timezone) if self._tz is None else self._tz

    @tz.setter
    def tz(self, tz: tzinfo) -> None:
        self._tz = tz

    @cached_property
    def utc_enabled(self) -> bool:
        """The setting ``enable_utc``."""
        return self.app.conf.enable_utc  # type: ignore[no-any-return]

    def to_local(self, dt: datetime) -> datetime:
        """``dt``, without ``enable_utc`` in the zone of the machine."""
        return dt if self.utc_enabled else dt.astimezone()

    def now(self) -> datetime:
        """The current time."""
        return self.nowfun() if self.nowfun is not None else self.app.now()

    def remaining_estimate(self, last_run_at: datetime) -> timedelta:
        """How long it is until a task that ran last at ``last_run_at`` is due; negative when it is overdue."""
        raise NotImplementedError(f"{type(self).__name__}: expected a schedule to define remaining_estimate")

    def is_due(self, last_run_at: datetime) -> schedstate:
        """Whether a task that ran last at ``last_run_at`` is due, and the seconds until the next look: those until it
        is due, or, when it is due now, those until the time after that."""
        left = self.remaining_estimate(last_run_at).total_seconds()
        if left > 0:
            return schedstate(False, left)
        return schedstate(True, max(self.remaining_estimate(self.now()).total_seconds(), 0))

    def maybe_make_aware(self, dt: datetime, naive_as_utc: bool = True) -> datetime:
        """``dt`` itself if it has a zone; else ``dt`` in the app's, read as UTC (``naive_as_utc``) or as local."""
        return maybe_make_aware(dt, self.tz, naive_as_utc)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, BaseSchedule):
            return other.nowfun == self.nowfun
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]


def humanized(seconds: float) -> str:
    """A number of seconds in the largest unit that is not longer than it: ``90`` is ``1.50 minutes``."""
    seconds = round(float(seconds), 2)
    for unit, size in (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1)):
        if seconds >= size:
            count = seconds / size
            return f"{count:.2f} {unit}{'s' if count > 1 else ''}"
    return "now"


def between(later: datetime, earlier: datetime) -> timedelta:
    """The elapsed time between two aware times, whatever their zones: Python subtracts wall clocks within a zone."""
    return later.astimezone(UTC) - earlier.astimezone(UTC)
