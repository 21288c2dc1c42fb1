"""The entries of a scheduler class."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

from canvas.context import current_app
from canvas.primitives.signature import Signature
from canvas.schedules import maybe_schedule
from canvas.schedules.base_schedule import ScheduleApp

_EDITABLE = ("task", "schedule", "args", "kwargs", "options")


class SchedulingError(Exception):
    """A periodic task could not be sent."""


class event_t(NamedTuple):
    """An entry in a scheduler's heap."""

    time: float
    """When it is due, as a unix time."""
    priority: int
    entry: Any


class ScheduleEntry:
    """A task, its schedule, and when it ran last."""

    name: Any = None
    task: Any = None
    schedule: Any = None
    args: Any = None
    kwargs: Any = None
    options: Any = None
    last_run_at: Any = None
    total_run_count = 0

    def __init__(
        self, name: str | None = None, task: str | None = None, last_run_at: datetime | None = None,
        total_run_count: int | None = None, schedule: Any = None, args: Any = (), kwargs: Any = None,
        options: Any = None, relative: bool = False, app: ScheduleApp | None = None,
    ) -> None:  # fmt: skip
        """``schedule``: seconds, a timedelta or a schedule. ``relative``: whether an interval's runs are rounded to its
        unit. Without ``last_run_at`` it counts as run now."""
        self.app = app
        self.name, self.task = name, task
        self.args, self.kwargs, self.options = args, kwargs or {}, options or {}
        self.schedule = maybe_schedule(schedule, relative, app=app)
        self.last_run_at = last_run_at or self.default_now()
        self.total_run_count = total_run_count or 0

    def default_now(self) -> datetime:
        """The time of its schedule."""
        now: datetime = (self.schedule or self.app or current_app()).now()
        return now

    _default_now = default_now

    def _next_instance(self, last_run_at: datetime | None = None) -> "ScheduleEntry":
        """The entry after one more run."""
        ran = {"last_run_at": last_run_at or self.default_now(), "total_run_count": self.total_run_count + 1}
        return type(self)(**{**dict(self), **ran})

    __next__ = next = _next_instance

    def update(self, other: "ScheduleEntry") -> None:
        """Take over the task and the schedule of ``other``."""
        vars(self).update({name: getattr(other, name) for name in _EDITABLE})

    def is_due(self) -> Any:
        """Whether it is due, and in how many seconds to look again."""
        return self.schedule.is_due(self.last_run_at)

    def editable_fields_equal(self, other: Any) -> bool:
        """Whether both run the same on the same schedule."""
        return all(getattr(self, name) == getattr(other, name) for name in _EDITABLE)

    def __eq__(self, other: object) -> bool:
        return self.editable_fields_equal(other)

    __hash__ = None  # type: ignore[assignment]

    def __lt__(self, other: object) -> bool:
        """Any order: a heap compares entries that are due at the same time."""
        return id(self) < id(other) if isinstance(other, ScheduleEntry) else NotImplemented

    def __gt__(self, other: object) -> bool:
        return id(self) > id(other) if isinstance(other, ScheduleEntry) else NotImplemented

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        return iter(vars(self).items())

    def __reduce__(self) -> tuple[Any, ...]:
        given = (self.name, self.task, self.last_run_at, self.total_run_count, self.schedule, self.args)
        return type(self), (*given, self.kwargs, self.options)

    def __repr__(self) -> str:
        call = Signature(self.task, tuple(self.args or ()), dict(self.kwargs or {})).reprcall()
        return f"<{type(self).__name__}: {self.name} {call} {self.schedule}"
