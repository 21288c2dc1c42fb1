"""Names of ``celery.utils.time``."""

import random
import time as _time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from canvas.config.zones import local_zone
from canvas.schedules.base_schedule import between, is_naive, maybe_make_aware
from canvas.schedules.interval import relative_end

_SECONDS_OF = {"s": 1, "m": 60, "h": 3600}


def maybe_timedelta(delta: Any) -> Any:
    """Seconds as a timedelta; other values are returned as they are."""
    return timedelta(seconds=delta) if isinstance(delta, int | float) else delta


def maybe_iso8601(dt: datetime | str | None) -> datetime | None:
    """ISO 8601 text as a datetime. Raises ValueError."""
    return datetime.fromisoformat(dt) if isinstance(dt, str) and dt else dt or None


def rate(r: Any) -> float:
    """A rate such as ``"10/m"`` in tasks a second; 0 for none. Raises ValueError, and KeyError for another unit than
    ``s``, ``m`` and ``h``."""
    if not isinstance(r, str):
        return r or 0
    number, _, unit = r.partition("/")
    return float(number) / _SECONDS_OF[unit or "s"] if r else 0


def get_exponential_backoff_interval(factor: int, retries: int, maximum: int, full_jitter: bool = False) -> int:
    """Seconds until the next try: ``factor * 2 ** retries``, at most ``maximum``; with jitter a random part of it."""
    countdown = min(maximum, factor * (2**retries))
    return max(0, random.randrange(countdown + 1) if full_jitter else countdown)


def to_utc(dt: datetime) -> datetime:
    """A time without a zone as one in UTC; as ``make_aware``."""
    return make_aware(dt, timezone.utc)


def make_aware(dt: datetime, tz: tzinfo) -> datetime:
    """The same wall clock time in the zone ``tz``, whatever zone ``dt`` has; the earlier of two, when the clock is set
    back."""
    earlier, later = dt.replace(tzinfo=tz, fold=0), dt.replace(tzinfo=tz, fold=1)
    is_shown_twice = (earlier.utcoffset() or 0) > (later.utcoffset() or 0)  # type: ignore[operator]
    return earlier if is_shown_twice else dt.replace(tzinfo=tz)


def localize(dt: datetime, tz: tzinfo) -> datetime:
    """A time in UTC in the zone ``tz``. One without a zone is taken to be in ``tz``; one in another zone is returned
    as it is."""
    if is_naive(dt):
        return make_aware(dt, tz)
    return dt.astimezone(tz) if dt.tzinfo in (UTC, ZoneInfo("UTC")) else dt


def delta_resolution(dt: datetime, delta: timedelta) -> datetime:
    """``dt``, rounded down to the largest unit of ``delta``: days, hours, minutes or seconds."""
    fields = {"hour": 0, "minute": 0, "second": 0, "microsecond": 0}
    seconds = max(delta.total_seconds(), 0)
    for unit, kept in ((86_400, 0), (3_600, 1), (60, 2)):
        if seconds >= unit:
            zeroed = dict(list(fields.items())[kept:])
            return dt.replace(**zeroed)  # type: ignore[arg-type]
    return dt


def remaining(start: datetime, ends_in: Any, now: datetime | None = None, relative: bool = False) -> timedelta:
    """The time that passes from ``now`` (default: the current time) until ``ends_in`` has passed since ``start``;
    with ``relative`` until the last whole day, hour or minute of the wall clock before that, by the unit of
    ``ends_in``. An ``ffwd`` changes the wall clock of ``start``."""
    now = now or datetime.now(UTC)
    if relative:
        end = relative_end(start, ends_in)
    elif isinstance(ends_in, timedelta):
        end = add_seconds_to_datetime(start, ends_in.total_seconds())
    else:
        end = start + ends_in
    return between(end, now)


def humanize_seconds(
    secs: int | float, prefix: str = "", sep: str = "", now: str = "now", microseconds: bool = False
) -> str:
    """Seconds for people, in the largest unit: ``in 2.00 hours``."""
    secs = float(f"{secs:.2f}")
    for name, unit, form in (
        ("day", 86_400, ".2f"),
        ("hour", 3_600, ".2f"),
        ("minute", 60, ".2f"),
        ("second", 1, ".2f"),
    ):
        if secs >= unit:
            count = secs / unit
            return f"{prefix}{sep}{count:{form}} {name}{'s' if count != 1 else ''}"
    return f"{prefix}{sep}{secs:.2f} seconds" if microseconds and secs > 0 else now


_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def weekday(name: str) -> int:
    """The number of a day of the week, 0 for Sunday. Raises KeyError."""
    try:
        return (_DAYS.index(name[:3].lower()) + 1) % 7
    except ValueError:
        raise KeyError(name) from None


class _Zones:
    """``celery.utils.time.timezone``."""

    utc = ZoneInfo("UTC")

    @property
    def local(self) -> Any:
        return local_zone()

    def get_timezone(self, zone: Any) -> Any:
        """A zone by its name; zones are returned."""
        return zone if isinstance(zone, tzinfo) else ZoneInfo(zone)

    def tz_or_local(self, tzinfo: Any = None) -> Any:
        return self.local if tzinfo is None else self.get_timezone(tzinfo)

    def to_local(self, dt: datetime, local: Any = None, orig: Any = None) -> datetime:
        """A time in UTC, or one without a zone, which is taken to be in ``orig``, or UTC, in the zone ``local``. One in
        another zone is returned as it is."""
        return localize(make_aware(dt, orig or self.utc) if is_naive(dt) else dt, self.tz_or_local(local))

    def to_system(self, dt: datetime) -> datetime:
        return dt.astimezone()

    def to_local_fallback(self, dt: datetime) -> datetime:
        """``localize`` in the local zone."""
        return localize(dt, self.local)


timezone = _Zones()


def utcoffset(time: Any = _time, localtime: Callable[[], _time.struct_time] = _time.localtime) -> float:
    """Hours by which UTC is ahead of the local time. ``time`` gives ``timezone`` and ``altzone`` in seconds, and
    ``localtime`` says which holds now."""
    seconds: float = time.altzone if localtime().tm_isdst else time.timezone
    return seconds / 3600


def adjust_timestamp(ts: float, offset: float, here: Callable[..., float] = utcoffset) -> float:
    """A time of a machine whose UTC offset is ``offset`` hours, as one of this machine's."""
    return ts - (offset - here()) * 3600


def add_seconds_to_datetime(dt: datetime, seconds: float) -> datetime:
    """The time ``seconds`` later; they pass on the clock of UTC where ``dt`` has a zone."""
    delta = timedelta(seconds=seconds)
    return dt + delta if dt.tzinfo is None else (dt.astimezone(UTC) + delta).astimezone(dt.tzinfo)


def subtract_datetimes(end: datetime, start: datetime) -> timedelta:
    """The time that passes between two moments; those without a zone are taken as UTC."""
    return between(maybe_make_aware(end), maybe_make_aware(start))
