"""Time zones: those of the IANA database by name, and that of this machine."""

import os
import time
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cache


@cache
def zone_named(name: str) -> tzinfo:
    """A time zone of the IANA database. Raises ZoneInfoNotFoundError."""
    from zoneinfo import ZoneInfo  # imported late: many programs need no zone

    return ZoneInfo(name)


def local_zone() -> tzinfo:
    """The time zone of this machine: one of the IANA database where ``TZ`` or ``/etc/localtime`` names it."""
    name = os.environ.get("TZ", "").lstrip(":") or os.path.realpath("/etc/localtime").partition("zoneinfo/")[2]
    try:
        return zone_named(name)
    except (ValueError, OSError, KeyError):
        return LocalTimezone()


class LocalTimezone(tzinfo):
    """The time zone of this machine."""

    def utcoffset(self, dt: datetime | None) -> timedelta | None:
        return self._at(dt).utcoffset()

    def dst(self, dt: datetime | None) -> timedelta | None:
        at = self._at(dt)
        return timedelta(hours=1) if time.localtime(at.timestamp()).tm_isdst > 0 else timedelta(0)

    def tzname(self, dt: datetime | None) -> str | None:
        return self._at(dt).tzname()

    def fromutc(self, dt: datetime) -> datetime:
        return dt.replace(tzinfo=UTC).astimezone().replace(tzinfo=self)

    @staticmethod
    def _at(dt: datetime | None) -> datetime:
        return (dt.replace(tzinfo=None) if dt else datetime.now()).astimezone()
