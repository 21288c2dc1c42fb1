"""The entries of periodic tasks: when each is due, and its state."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from canvas.model.settlement import Settlement, SettleResult


class StoredEntry(NamedTuple):
    """An entry as it is stored."""

    name: str
    revision: int
    """How often it has been written."""
    due: float | None
    """Unix time, seconds, by the server's clock; ``None`` for an entry that is not scheduled, such as a paused one."""
    state: bytes
    definition: bytes


class DueEntries(NamedTuple):
    """The entries that are due."""

    now: float
    """The server's clock, unix time, seconds."""
    entries: list[StoredEntry]
    """The entry that has been due for the longest time comes first."""
    next_due: float | None
    """When the first of the others is due."""


class EntryWrite(NamedTuple):
    """A change of an entry."""

    schedule: str
    name: str
    revision: int
    """The revision that the entry must have; 0: there must be no entry of that name."""
    due: float | None
    state: bytes
    definition: bytes | None = None
    """``None``: as it is."""


class ScheduleStore(Protocol):
    """Schedules and their entries, by name. A write and the messages that go with it are one atomic step."""

    def due(self, schedule: str, limit: int) -> DueEntries:
        """At most ``limit`` of the entries that are due. The entries that are not due cost nothing."""

    def read(self, schedule: str, names: Sequence[str] | None = None) -> list[StoredEntry]:
        """The entries of these names that there are; without ``names`` all of them."""

    def write(self, change: EntryWrite, settlement: Settlement | None = None) -> SettleResult:
        """Change an entry and commit a settlement without a delivery, both or neither.

        ``held`` is False, and nothing is done, when the entry has another revision; ``refused`` says why the settlement
        cannot be committed. The step is safe to repeat when its reply is lost.
        """

    def remove(self, schedule: str, names: Sequence[str]) -> int:
        """Delete entries. Returns how many there were."""
