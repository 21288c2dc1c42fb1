"""Numbers that the processes of a node share, in memory that forked children inherit."""

import mmap
import time
from collections import Counter
from math import ceil
from typing import NamedTuple

_MOST_ROWS = 4096
_STARTED, _ACTIVE, _TAG, _DEADLINE, _LIMIT, _UP, _SINCE, _WAITS, _SEEN, _REGISTERED, _RENEWED = range(11)
_WIDTH = 13
_LATEST = 1 << 48
_CLOCK, _ARRIVED, _TAKEN, _PARENT_WAITS, _OUTAGES, _READY = range(6)
_HEADER = 6
"""Cells before the first row."""


class Renewal(NamedTuple):
    """A heartbeat that the broker has acknowledged."""

    sent: float
    """When it was sent, by the monotonic clock."""
    time_of_day: float
    """The same as unix time, by this machine's clock."""
    known: bool
    """Whether the broker had not forgotten the process."""
    good_for: float
    """Seconds in which it does not."""


class ProcessStats:
    """One process's numbers; written by that process only."""

    def __init__(self, cells: "memoryview[int]", at: int) -> None:
        self._cells = cells
        self._at = at
        self.counts = cells[at + _STARTED : at + _ACTIVE + 1]
        """``started`` and ``active``, for the process that counts its tasks."""
        self.renewal = cells[at + _RENEWED : at + _WIDTH]
        """Until when the broker does not forget this process, by the monotonic clock and as unix time; and since when,
        by the monotonic clock, it has not. Microseconds. The parent of a prefork child writes it too."""

    @property
    def started(self) -> int:
        """How many tasks the process has started."""
        return self._cells[self._at + _STARTED]

    @property
    def active(self) -> int:
        """How many it runs now."""
        return self._cells[self._at + _ACTIVE]

    @property
    def running(self) -> int:
        """The number in the tag of the message it runs."""
        return self._cells[self._at + _TAG]

    @property
    def deadline(self) -> float | None:
        """The time by which the work must have ended, by the monotonic clock; ``None`` without a limit."""
        milliseconds = self._cells[self._at + _DEADLINE]
        return milliseconds / 1000 if milliseconds else None

    @property
    def limit(self) -> float:
        """The hard time limit it has, seconds."""
        return self._cells[self._at + _LIMIT] / 1000

    @property
    def up(self) -> bool:
        """Whether the process has started and is about to take tasks."""
        return bool(self._cells[self._at + _UP])

    def set_up(self, up: bool) -> None:
        """Record whether the process has started."""
        self._cells[self._at + _UP] = up

    @property
    def since(self) -> float:
        """When the task that runs was started, unix time."""
        return self._cells[self._at + _SINCE] / 1e6

    @property
    def waits(self) -> int:
        """Since when the process waits for messages, nanoseconds of the monotonic clock; 0 when it does not wait. The
        parent writes 0 when it wakes the process."""
        return self._cells[self._at + _WAITS]

    @waits.setter
    def waits(self, since: int) -> None:
        self._cells[self._at + _WAITS] = since

    @property
    def seen(self) -> int:
        """The value of ``SharedMemory.arrived`` up to which the process knows that the node's inbox is empty."""
        return self._cells[self._at + _SEEN]

    @seen.setter
    def seen(self, arrived: int) -> None:
        self._cells[self._at + _SEEN] = arrived

    @property
    def registered(self) -> float:
        """The monotonic time until which this process is registered at the broker at least."""
        return self._cells[self._at + _REGISTERED] / 1000

    @registered.setter
    def registered(self, until: float) -> None:
        self._cells[self._at + _REGISTERED] = round(until * 1000)

    def renew(self, new: Renewal) -> None:
        """The broker has acknowledged a heartbeat."""
        until, until_by_day, _ = self.renewal
        sent, time_of_day = ceil(new.sent * 1e6), ceil(new.time_of_day * 1e6)
        if not new.known or sent > until or time_of_day > until_by_day:
            self.renewal[2] = sent
        good_for = int(new.good_for * 1e6)
        self.renewal[0], self.renewal[1] = max(until, sent + good_for), time_of_day + good_for

    def break_leases(self) -> None:
        """The process has lost the connection with which its leases end."""
        self.renewal[2] = ceil(time.monotonic() * 1e6)

    def clear(self) -> None:
        """Forget the row's former process."""
        for cell in range(self._at, self._at + _WIDTH):
            self._cells[cell] = 0

    def set_deadline(self, running: int, limit: float | None) -> None:
        """Set the number of the message that runs, and the seconds that it may run; for a process with one slot."""
        self._cells[self._at + _SINCE] = time.time_ns() // 1000
        self._cells[self._at + _TAG] = running
        self._cells[self._at + _LIMIT] = round((limit or 0) * 1000)
        self._cells[self._at + _DEADLINE] = round((time.monotonic() + limit) * 1000) if limit else 0


class SharedMemory:
    """A logical clock and a row for each process of the node."""

    def __init__(self) -> None:
        self._cells = memoryview(mmap.mmap(-1, 8 * (_HEADER + _WIDTH * _MOST_ROWS))).cast("q")
        self._rows: dict[int, ProcessStats] = {}
        self._free = list(range(_MOST_ROWS - 1, -1, -1))
        self._started_before = 0
        self.ended: Counter[str] = Counter()
        """Tasks by name that processes had begun which have ended; known to the parent."""

    def forward(self) -> int:
        """Advance the clock. Returns its new time. Two processes at the same instant may get the same one."""
        self._cells[0] += 1
        return self._cells[0]

    def adjust(self, seen: int) -> None:
        """A message of time ``seen`` has come in; a time that no clock can have reached is not taken over."""
        self._cells[0] = max(self._cells[0], seen if seen < _LATEST else 0) + 1

    @property
    def time(self) -> int:
        return self._cells[0]

    @property
    def arrived(self) -> int:
        """How many messages have been moved into the node's inbox; written by the parent of a prefork node."""
        return self._cells[_ARRIVED]

    @arrived.setter
    def arrived(self, count: int) -> None:
        self._cells[_ARRIVED] = count

    @property
    def taken(self) -> int:
        """How many of those are known to be gone from the inbox; written by the parent."""
        return self._cells[_TAKEN]

    @taken.setter
    def taken(self, count: int) -> None:
        self._cells[_TAKEN] = count

    @property
    def parent_waits(self) -> bool:
        """Whether the parent waits at the broker, so that a child which begins to wait need not wake it."""
        return bool(self._cells[_PARENT_WAITS])

    @parent_waits.setter
    def parent_waits(self, parent_waits: bool) -> None:
        self._cells[_PARENT_WAITS] = parent_waits

    @property
    def outages(self) -> int:
        """How often the broker was unreachable while the parent waited."""
        return self._cells[_OUTAGES]

    @outages.setter
    def outages(self, count: int) -> None:
        self._cells[_OUTAGES] = count

    @property
    def ready(self) -> bool:
        """Whether the node has reported that it is ready; written by the parent of a prefork node."""
        return bool(self._cells[_READY])

    @ready.setter
    def ready(self, ready: bool) -> None:
        self._cells[_READY] = ready

    def open_row(self) -> ProcessStats:
        """A row for a process that is about to start. Raises IndexError beyond 4,096 processes."""
        number = self._free.pop()
        row = ProcessStats(self._cells, _HEADER + _WIDTH * number)
        row.clear()
        self._rows[number] = row
        return row

    def close_row(self, row: ProcessStats) -> None:
        """Its process is gone; what it has done still counts."""
        for number, known in list(self._rows.items()):
            if known is row:
                self._started_before += row.started
                del self._rows[number]
                self._free.append(number)

    @property
    def started(self) -> int:
        """How many tasks the node has started."""
        return self._started_before + sum(row.started for row in list(self._rows.values()))

    @property
    def active(self) -> int:
        """How many it runs now."""
        return sum(row.active for row in list(self._rows.values()))
