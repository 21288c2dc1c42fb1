"""The commands of a node to the processes that run its tasks: one type for each command, and its form on the wire.

A prefork child gets a command as JSON from its parent; other pools pass the value itself.
"""

from dataclasses import asdict, dataclass
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True)
class ReportState:
    """Answer with the tasks that run, the tasks that are prefetched, and how many of each name have begun."""


@dataclass(frozen=True, slots=True)
class ReadRevoked:
    """Read the revoked ids and stamps again."""


@dataclass(frozen=True, slots=True)
class AdoptOrphans:
    """Settle the orphans of dead workers."""


@dataclass(frozen=True, slots=True)
class Terminate:
    """End tasks while they run: those with one of the ids, or with one of the stamps in the headers."""

    ids: list[str]
    headers: dict[str, Any] | None
    signal: str
    signum: int


@dataclass(frozen=True, slots=True)
class SetTimeLimits:
    """Change the time limits of a task, seconds."""

    task: str
    soft: float | None
    hard: float | None


@dataclass(frozen=True, slots=True)
class SetRateLimit:
    """Change the rate limit of a task."""

    task: str
    rate: Any


@dataclass(frozen=True, slots=True)
class ConsumeQueues:
    """Lease from these queues, and no others."""

    queues: list[str]


@dataclass(frozen=True, slots=True)
class SwitchEvents:
    """Send task events, or stop sending them."""

    on: bool


ChildCommand: TypeAlias = (
    ReportState | ReadRevoked | AdoptOrphans | Terminate | SetTimeLimits | SetRateLimit | ConsumeQueues | SwitchEvents
)
_TYPES: dict[str, type[ChildCommand]] = {
    "state": ReportState,
    "revoked": ReadRevoked,
    "adopt": AdoptOrphans,
    "terminate": Terminate,
    "time_limit": SetTimeLimits,
    "rate_limit": SetRateLimit,
    "queues": ConsumeQueues,
    "events": SwitchEvents,
}
_NAMES = {kind: name for name, kind in _TYPES.items()}


def to_wire(command: ChildCommand) -> dict[str, Any]:
    """A command as a JSON object."""
    return {"do": _NAMES[type(command)], **asdict(command)}


def from_wire(found: dict[str, Any]) -> ChildCommand:
    """The command of a JSON object."""
    return _TYPES[found["do"]](**{name: value for name, value in found.items() if name != "do"})
