"""Check-ins of Sentry's cron monitors for the entries of beat: when a tick is sent, and when its task has ended."""

import time
from typing import Any
from uuid import uuid4

import sentry_sdk
from sentry_sdk.crons import MonitorStatus, capture_checkin
from sentry_sdk.crons.utils import _get_interval_schedule
from sentry_sdk.utils import match_regex_list

from canvas.caller_warnings import warn_caller
from canvas.model.message import Message
from canvas.model.outcome import Failure, Outcome, Retried, Success
from canvas.schedules import crontab, schedule
from canvas.schedules.base_schedule import ScheduleApp

_SLUG, _CONFIG, _CHECK_IN = (f"sentry-monitor-{name}" for name in ("slug", "config", "check-in-id"))
_STARTED = "sentry-monitor-start-timestamp-s"
"""Headers of a message, by the names of sentry-sdk's integration of Celery."""


class Monitors:
    """Reports the entries of beat in this process, and the ends of their tasks."""

    def __init__(self, excluded: list[str] | None) -> None:
        """``excluded``: regular expressions of names of entries without a monitor."""
        self._excluded = excluded
        self._open: dict[str, dict[str, Any]] = {}
        """The headers of ticks that are not sent yet, by entry."""
        self._refused: set[str] = set()

    def composing(self, entry: Any, headers: dict[str, Any], app: ScheduleApp, **_: Any) -> None:
        """Put the monitor of an entry, and the id of a check-in, into the headers of its message."""
        sentry_sdk.get_isolation_scope().set_new_propagation_context()
        if match_regex_list(entry.name, self._excluded):
            return
        config = self._config(entry.name, entry.schedule, app)
        if config is not None:
            carried = {_SLUG: entry.name, _CONFIG: config, _CHECK_IN: uuid4().hex, _STARTED: f"{time.time():.9f}"}
            headers.update(carried)
            self._open[entry.name] = carried

    def sent(self, entry: str, **_: Any) -> None:
        """A tick was sent by this beat."""
        headers = self._open.pop(entry, None)
        if headers is not None:
            _check_in(headers, MonitorStatus.IN_PROGRESS)

    def finished(self, message: Message, outcome: Outcome, **_: Any) -> None:
        """The task of an entry has ended; the tasks that it starts have no check-in."""
        headers = {name: message.headers.get(name) for name in (_SLUG, _CONFIG, _CHECK_IN, _STARTED)}
        if headers[_SLUG] is None or not isinstance(outcome, Success | Failure | Retried):
            return
        began = float(str(headers[_STARTED])) if headers[_STARTED] else None
        status = MonitorStatus.OK if isinstance(outcome, Success) else MonitorStatus.ERROR
        _check_in(headers, status, None if began is None else time.time() - began)

    def _config(self, name: str, given: Any, app: ScheduleApp) -> dict[str, Any] | None:
        found = _schedule_of(given)
        if found is None:
            if name not in self._refused:
                self._refused.add(name)
                warn_caller(
                    f"CeleryIntegration: {name!r} has no monitor: Sentry knows crontabs, and intervals of whole minutes"
                )
            return None
        return {"schedule": found, "timezone": str(getattr(given, "tz", None) or app.timezone or "UTC")}


def _schedule_of(given: Any) -> dict[str, Any] | None:
    """A schedule as Sentry writes it; ``None`` for one that it does not know."""
    if isinstance(given, crontab):
        fields = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")
        return {"type": "crontab", "value": " ".join(str(getattr(given, f"_orig_{field}")) for field in fields)}
    found: Any = _get_interval_schedule(given.seconds) if isinstance(given, schedule) else None
    return None if found is None else {"type": "interval", "value": found["value"], "unit": found["unit"]}


def _check_in(headers: dict[str, Any], status: str, seconds: float | None = None) -> None:
    capture_checkin(
        monitor_slug=headers[_SLUG], monitor_config=headers[_CONFIG], check_in_id=headers[_CHECK_IN], status=status,
        duration=seconds,
    )  # fmt: skip
