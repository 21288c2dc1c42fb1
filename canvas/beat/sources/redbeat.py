"""The entries of celery-redbeat: its keys, with the meaning that its RedBeatScheduler gives them."""

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from canvas.beat import log
from canvas.beat.configured_entries import SetupApp
from canvas.beat.entries import Entry
from canvas.beat.sources.source import Look, SourceEntry
from canvas.errors import ConfigurationError
from canvas.schedules import crontab, schedule
from canvas.schedules.base_schedule import BaseSchedule, ScheduleApp

_logger = logging.getLogger("celery.beat")
_NEVER_RAN = datetime(1, 1, 2, tzinfo=UTC)
_FIELDS = ("minute", "hour", "day_of_week", "day_of_month", "month_of_year")
_DISABLED_FOR = 5.0


class RedBeatKeys:
    """The source of ``-S redbeat``."""

    name = "redbeat"
    look_every = 1.0

    def __init__(self, app: SetupApp) -> None:
        """Raises ConfigurationError for a ``redbeat_redis_url`` that is not a Redis server's."""
        from canvas.beat.sources.redbeat_server import server_of
        from canvas.drivers.redis.connection.client import RedisClient

        conf = app.conf
        self._clock: ScheduleApp = app
        self._link = RedisClient(server_of(app))
        self._prefix = conf.get("redbeat_key_prefix") or "redbeat:"
        self._schedule, self._statics = f"{self._prefix}:schedule", f"{self._prefix}:statics"
        lock = conf.get("redbeat_lock_key", f"{self._prefix}:lock")
        self._lock = lock if not lock or lock.startswith(self._prefix) else self._prefix + lock
        self._lock_reported = False

    def setup(self, given: Mapping[str, Entry], clock: ScheduleApp) -> None:
        self._clock = clock
        gone = {name.decode() for name in self._link.command("SMEMBERS", self._statics)} - set(given)
        for name in sorted(gone):
            key = self._prefix + name
            self._link.pipeline([("ZREM", self._schedule, key), ("DEL", key), ("SREM", self._statics, name)], True)
        for entry in given.values():
            try:
                self._put(entry)
            except (ConfigurationError, TypeError, ValueError) as exc:
                log.refused_entry(exc)

    def look(self, now: datetime) -> Look:
        if self._lock and self._link.command("EXISTS", self._lock):
            if not self._lock_reported:
                _logger.info("beat: A beat of celery-redbeat holds %s; waiting until it has ended", self._lock)
            self._lock_reported = True
            return Look([], self.look_every)
        self._lock_reported = False
        timestamp = now.timestamp()
        due, following = self._link.pipeline(
            [
                ("ZRANGE", self._schedule, 0, timestamp, "BYSCORE"),
                ("ZRANGE", self._schedule, f"({timestamp}", "+inf", "BYSCORE", "LIMIT", 0, 1, "WITHSCORES"),
            ]
        )
        found = [one for key in due if (one := self._read(key.decode())) is not None]
        return Look(found, float(following[1]) - timestamp if following else self.look_every)

    def later(self, found: SourceEntry, due: float | None) -> None:
        """The score stands in the key of the schedule; one that is behind is corrected."""
        self._link.command("ZADD", self._schedule, "XX", -1 if due is None else int(due), found.key)

    def ran(self, found: SourceEntry, moment: datetime) -> None:
        found.last_run = moment
        meta = json.dumps({"last_run_at": _written(moment)})
        following = _score(found.entry.schedule, moment, self._clock.now())
        self._link.pipeline(
            [("HSET", found.key, "meta", meta), ("ZADD", self._schedule, "XX", following, found.key)], True
        )

    def _read(self, key: str) -> SourceEntry | None:
        """The entry of a key; ``None`` for one that is disabled, or cannot be read."""
        raw, meta = self._link.command("HMGET", key, "definition", "meta")
        if raw is None:
            _logger.warning("beat: Failed to load %s, removing", key)
            self._link.command("ZREM", self._schedule, key)
            return None
        try:
            about = json.loads(raw, object_hook=self._value)
            last_run = json.loads(meta, object_hook=self._value).get("last_run_at") if meta else None
            timing = about["schedule"]
            if not isinstance(timing, BaseSchedule):
                raise ValueError(f"expected a schedule; got {timing!r:.100}")
            name, task, args, kwargs = (about.get(part) for part in ("name", "task", "args", "kwargs"))
            entry = Entry(str(name), str(task), timing, tuple(args or ()), kwargs or {}, about.get("options") or {})
        except Exception as exc:  # noqa: BLE001 - a key may hold anything, and the other entries go on
            _logger.error("beat: Leaving out the entry of %s: %s: %s", key, type(exc).__name__, exc)
            return None
        if not about.get("enabled", True):
            return None
        return SourceEntry(entry, last_run or _NEVER_RAN, key=key)

    def _value(self, found: dict[str, Any]) -> Any:
        """An object of RedBeat's JSON."""
        about = dict(found)
        match about.pop("__type__", None):
            case "datetime":
                zone = about.pop("timezone", "UTC")
                return datetime(**about, tzinfo=_zone(zone))
            case "interval":
                return schedule(about["every"], about["relative"], app=self._clock)
            case "crontab":
                return crontab(**about, app=self._clock)
            case "rrule":
                from canvas.beat.sources.rrule import rule_of

                return rule_of(about, self._clock)
            case "weekday":
                return int(about["wkday"])
        return found

    def _put(self, entry: Entry) -> None:
        """Write an entry of the settings as RedBeatSchedulerEntry.save does; when it ran last stays."""
        if not isinstance(entry.task, str):
            raise ConfigurationError(f"schedule entry {entry.name!r}: keys have the names of tasks; got {entry.what}")
        definition = json.dumps({
            "name": entry.name, "task": entry.task, "args": list(entry.args), "kwargs": entry.kwargs,
            "options": entry.options, "schedule": _form(entry), "enabled": True,
        })  # fmt: skip
        key, now = self._prefix + entry.name, self._clock.now()
        never = json.dumps({"last_run_at": None})
        self._link.pipeline([("HSET", key, "definition", definition), ("HSETNX", key, "meta", never)], True)
        known = self._read(key)
        due = int(now.timestamp())
        if known is not None and known.last_run > _NEVER_RAN:
            due = _score(entry.schedule, known.last_run, now)
        self._link.pipeline([("ZADD", self._schedule, due, key), ("SADD", self._statics, entry.name)], True)


def _form(entry: Entry) -> dict[str, Any]:
    """A schedule in RedBeat's JSON. Raises ConfigurationError for a kind that has none."""
    found = entry.schedule
    if isinstance(found, crontab):
        fields = {name: getattr(found, f"_orig_{name}") for name in _FIELDS}
        return {"__type__": "crontab", **{n: v if isinstance(v, int | str) else sorted(v) for n, v in fields.items()}}
    if isinstance(found, schedule):
        return {"__type__": "interval", "every": found.run_every.total_seconds(), "relative": bool(found.relative)}
    raise ConfigurationError(
        f"schedule entry {entry.name!r}: RedBeat keeps no schedule of class {type(found).__name__}"
    )


def _written(moment: datetime) -> dict[str, Any]:
    utc = moment.astimezone(UTC)
    parts = ("year", "month", "day", "hour", "minute", "second", "microsecond")
    return {"__type__": "datetime", **{part: getattr(utc, part) for part in parts}, "timezone": "UTC"}


def _zone(written: Any) -> tzinfo:
    """A zone's name, or an offset in seconds."""
    return ZoneInfo(written) if isinstance(written, str) else timezone(timedelta(seconds=written))


def _score(timing: BaseSchedule, last_run: datetime, now: datetime) -> int:
    """When an entry is due, in whole seconds of unix time as RedBeat writes it; -1: never again."""
    try:
        return int((now + timing.remaining_estimate(last_run)).timestamp())
    except OverflowError:
        return -1
