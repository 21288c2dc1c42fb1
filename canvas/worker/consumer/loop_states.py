"""The states in which a consumer loop makes no round: how long each lasts, and what ends it."""

from collections.abc import Callable
from enum import Enum, auto
from typing import NamedTuple, Protocol, TypeAlias

STUCK_AFTER = 0.2
"""Seconds after which a task that runs is no longer short."""
LINGER = 0.005
"""Seconds in which results come together before the next call."""
_LOOKS_EVERY = 30.0
"""Seconds after which the thread looks whether it has to make a round, though its only slot is idle."""


class Progress(Protocol):
    """What the conditions ask of a batch."""

    @property
    def enough(self) -> bool:
        """Half a batch is finished."""

    @property
    def buffered(self) -> bool:
        """Tasks are leased and wait for a slot."""

    @property
    def any_finished(self) -> bool:
        """A task has ended, and is not settled yet."""


class State(Enum):
    """A state in which no round is made."""

    SLOTS_BUSY = auto()
    """Every slot runs a task, and nothing is finished."""
    LINGERING = auto()
    """Tasks are leased and wait for a slot."""
    STANDING_BY = auto()
    """The only slot runs a task, and no other task is leased."""
    IDLE = auto()
    """The only slot has no task: it makes the rounds, and waits at the broker."""


Condition: TypeAlias = Callable[[Progress], bool]


def always(progress: Progress) -> bool:
    return True


def buffered(progress: Progress) -> bool:
    return progress.buffered


def any_finished(progress: Progress) -> bool:
    return progress.any_finished


def enough(progress: Progress) -> bool:
    return progress.enough


def enough_or_none_left(progress: Progress) -> bool:
    return progress.enough or not progress.buffered


def enough_and_more_left(progress: Progress) -> bool:
    return progress.enough and progress.buffered


class Row(NamedTuple):
    """One state of a loop. What is urgent ends each: a stop, an ack that a task waits for, a chord to end, a change of
    the queues."""

    seconds: float
    left_out: Condition | None = None
    """When the state is left out, because there is a reason for a round already."""
    ended_by_start: Condition | None = None
    """Whether the start of a task ends it."""
    ended_by_end: Condition | None = None
    """Whether the end of a task ends it."""


Table: TypeAlias = dict[State, Row]

MANY_SLOTS: Table = {
    State.SLOTS_BUSY: Row(STUCK_AFTER, left_out=any_finished, ended_by_end=always),
    State.LINGERING: Row(LINGER, left_out=enough, ended_by_end=enough_or_none_left),
}
"""The thread makes every round."""

ONE_SLOT: Table = {
    State.LINGERING: Row(LINGER, left_out=enough, ended_by_end=enough_and_more_left),
    State.STANDING_BY: Row(STUCK_AFTER, ended_by_end=buffered),
    State.IDLE: Row(_LOOKS_EVERY, ended_by_start=always, ended_by_end=buffered),
}
"""The slot makes a round when it has no task left; the thread makes those that come due while the slot runs a task."""
