"""The time by which beat works: that of the server that keeps the entries, so that all beats agree."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from typing import Any

from canvas.config.config import Config
from canvas.schedules.base_schedule import ScheduleApp


class BeatClock:
    """The server's time. Between two answers of the server it goes on by this machine's monotonic clock, which is never
    set: a change of the machine's time has no effect."""

    def __init__(self, app: ScheduleApp, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._app = app
        self._monotonic = monotonic
        self._offset = 0.0

    def sync(self, server_time: float) -> None:
        """Take over the server's unix time."""
        self._offset = server_time - self._monotonic()

    def timestamp(self) -> float:
        """The unix time, seconds."""
        return self._offset + self._monotonic()

    @property
    def conf(self) -> Config:
        return self._app.conf

    @property
    def timezone(self) -> tzinfo:
        return self._app.timezone

    def now(self) -> datetime:
        """The time, in the app's zone."""
        return datetime.fromtimestamp(self.timestamp(), UTC).astimezone(self.timezone)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._app, name)
