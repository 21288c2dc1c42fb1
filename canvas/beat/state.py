"""The state of an entry, as it is stored: when it ran last, when it is next due, what has become of its ticks."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any

from canvas.model.ids import new_id

HISTORY = 10
"""Ticks of an entry that are kept."""

_NOT_IN_HISTORY = frozenset({"before", "stamp"})


@dataclass(slots=True)
class EntryState:
    """The state of one entry. Times are ISO 8601, in UTC."""

    last_run_at: str
    epoch: str = field(default_factory=new_id)
    """Set when the entry is made: ids of ticks are derived from it."""
    next_due: float | None = None
    """Unix time, seconds, of the next tick by the schedule."""
    schedule: str = ""
    """The schedule by which ``next_due`` was computed, as text."""
    count: int = 0
    """Ticks that were sent."""
    skipped: int = 0
    """Ticks that were left out because the run before was not over."""
    missed: int = 0
    """Ticks that were left out because they came too late."""
    waiting: int = 0
    """Ticks that wait for the run before them."""
    paused: bool = False
    sending: str = ""
    """The seed of the last tick's ids, while a beat has claimed it and has not reported it sent."""
    last: dict[str, Any] = field(default_factory=dict)
    """The last run: ``{"ids": [task ids], "at": unix time}`` or ``{"run": id of a workflow's run, "at": …}``.

    ``before``: for an id, the tasks without whose success its task never runs. ``stamp``: that of all tasks of the run.
    """

    history: list[dict[str, Any]] = field(default_factory=list)
    """The last ticks, the latest first: each as ``last``, with ``action``: send, skip, miss or wait."""

    def note(self, action: str, about: Mapping[str, Any]) -> None:
        """Add a tick to the history."""
        shown = {name: value for name, value in about.items() if name not in _NOT_IN_HISTORY}
        self.history = [{**shown, "action": action}, *self.history[: HISTORY - 1]]

    @property
    def last_run(self) -> datetime:
        """When the entry ran last; at first, when it was made."""
        return datetime.fromisoformat(self.last_run_at)

    def ran_at(self, moment: datetime) -> None:
        """Note when the entry ran."""
        self.last_run_at = moment.astimezone(UTC).isoformat()

    def encode(self) -> bytes:
        return json.dumps({name: getattr(self, name) for name in _NAMES}).encode()


_NAMES = tuple(one.name for one in fields(EntryState))


def new_state(now: datetime) -> EntryState:
    """The state of an entry that is made now."""
    return EntryState(now.astimezone(UTC).isoformat())


def decoded(raw: bytes) -> EntryState:
    """The state that ``encode`` wrote, of this or another version."""
    return EntryState(**{name: value for name, value in json.loads(raw).items() if name in _NAMES})
