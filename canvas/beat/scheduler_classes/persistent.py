"""``PersistentScheduler``: a scheduler class that keeps its entries in a file."""

import dbm
import errno
import os
import pickle
import shelve
from typing import Any

from canvas.beat.log import logger
from canvas.beat.scheduler_classes.entries import ScheduleEntry
from canvas.beat.scheduler_classes.scheduler import Scheduler
from canvas.schedules.base_schedule import BaseSchedule
from canvas.version import __version__

_UNREADABLE = (KeyError, TypeError, ValueError, AttributeError, ImportError, pickle.UnpicklingError, EOFError)
_MARKS = ("__version__", "tz", "utc_enabled")


class PersistentScheduler(Scheduler):
    """Keeps entries, and when they ran last, in the file ``beat_schedule_filename``."""

    persistence: Any = shelve
    known_suffixes = ("", ".db", ".dat", ".bak", ".dir")
    _store: Any = None
    _adopted: Any = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.schedule_filename = kwargs.get("schedule_filename")
        super().__init__(*args, **kwargs)

    def _remove_db(self) -> None:
        for suffix in self.known_suffixes:
            try:
                os.remove(f"{self.schedule_filename}{suffix}")
            except OSError as exc:
                if exc.errno != errno.ENOENT:
                    raise

    def _open_schedule(self) -> Any:
        return self.persistence.open(self.schedule_filename, writeback=True)

    def _destroy_open_corrupted_schedule(self, exc: Exception) -> Any:
        logger.error("Removing corrupted schedule file %r: %r", self.schedule_filename, exc, exc_info=True)
        self._remove_db()
        return self._open_schedule()

    def setup_schedule(self) -> None:
        """Open the file, and take the entries of the settings over into it."""
        try:
            self._store = self._open_schedule()
            list(self._store)
        except Exception as exc:  # noqa: BLE001 - a damaged file may raise anything; it is begun anew
            self._store = self._destroy_open_corrupted_schedule(exc)
        self._create_schedule()
        now = {"__version__": __version__, "tz": self.app.conf.timezone, "utc_enabled": self.app.conf.enable_utc}
        for mark in _MARKS[1:]:
            if self._store.get(mark) is not None and self._store[mark] != now[mark]:
                logger.warning("Reset: %s changed from %r to %r", mark, self._store[mark], now[mark])
                self._store.clear()
                self._store["entries"] = {}
        self.merge_inplace(self.app.conf.beat_schedule)
        self.install_default_entries(self.schedule)
        self._store.update(now)
        self.sync()
        logger.debug("Current schedule:\n%s", "\n".join(map(repr, self.schedule.values())))

    def _create_schedule(self) -> None:
        """Keep the entries of the file if they can be read; otherwise empty the file."""
        try:
            readable = "entries" in self._store and bool(dict(self._store["entries"]) or True)
        except _UNREADABLE as exc:
            logger.warning("DB Reset: Cannot load the stored entries, recreating them from beat_schedule: %r", exc)
            readable = False
        if readable and all(mark in self._store for mark in _MARKS):
            return
        try:
            self._store.clear()
            self._store["entries"] = {}
        except (*_UNREADABLE, *dbm.error) as exc:
            self._store = self._destroy_open_corrupted_schedule(exc)
            self._store["entries"] = {}

    def get_schedule(self) -> Any:
        entries = self._store["entries"]
        if entries is not self._adopted:
            # They come from the file, where they have no app.
            self._adopted = entries
            for entry in entries.values():
                if not isinstance(entry, ScheduleEntry):
                    continue
                entry.app = self.app
                if isinstance(entry.schedule, BaseSchedule):
                    entry.schedule.app = self.app
        return entries

    def set_schedule(self, schedule: Any) -> None:
        self._store["entries"] = schedule

    schedule = property(get_schedule, set_schedule)

    def sync(self) -> None:
        if self._store is not None:
            self._store.sync()

    def close(self) -> None:
        try:
            super().close()
        finally:
            if self._store is not None:
                self._store.close()

    @property
    def info(self) -> str:
        return f"    . db -> {self.schedule_filename}"
