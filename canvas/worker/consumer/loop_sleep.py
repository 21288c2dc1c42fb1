"""How a consumer loop sleeps between its rounds: in which states, for how long, and what wakes it."""

import time
from collections import deque
from collections.abc import Callable
from enum import Enum, auto
from queue import Empty, SimpleQueue
from typing import NamedTuple, Protocol, TypeAlias

from canvas.errors import BrokerError
from canvas.telemetry import emit
from canvas.worker.consumer.wait import Wait

STUCK_AFTER = 0.2
"""Seconds after which a task that runs is no longer short."""
LINGER = 0.005
"""Seconds in which results come together before the next call."""
_LOOKS_EVERY = 30.0
"""Seconds after which the thread looks whether it has to make a round, though its only slot is idle."""


class Progress(Protocol):
    """The facts about a batch that the conditions need."""

    @property
    def half_full(self) -> bool:
        """Half a batch is finished."""

    @property
    def buffered(self) -> bool:
        """Tasks are leased and wait for a slot."""

    @property
    def any_finished(self) -> bool:
        """A task has ended, and is not settled yet."""

    running: dict[int, float]
    """When each task that runs began, by slot."""


class Rounds(Progress, Protocol):
    """The batch whose rounds a loop has made."""

    worker: str
    queues: deque[str]
    stopping: bool
    leases_uncertain: bool
    last_poll_short: bool
    leased_at: float

    @property
    def urgent(self) -> bool: ...

    @property
    def any_acks(self) -> bool: ...


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


def task_runs(progress: Progress) -> bool:
    return bool(progress.running)


def half_full(progress: Progress) -> bool:
    return progress.half_full


def half_full_or_none_left(progress: Progress) -> bool:
    return progress.half_full or not progress.buffered


def half_full_and_more_left(progress: Progress) -> bool:
    return progress.half_full and progress.buffered


class Row(NamedTuple):
    """One state of a loop. A stop, an ack that a task waits for, a chord to end, and a change of the queues are urgent:
    they end each state."""

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
    State.LINGERING: Row(LINGER, left_out=half_full, ended_by_end=half_full_or_none_left),
}
"""The thread makes every round."""

ONE_SLOT: Table = {
    State.LINGERING: Row(LINGER, left_out=half_full, ended_by_end=half_full_and_more_left),
    State.STANDING_BY: Row(STUCK_AFTER, ended_by_end=buffered),
    State.IDLE: Row(_LOOKS_EVERY, left_out=task_runs, ended_by_start=always, ended_by_end=buffered),
}
"""The slot makes a round when it has no task left; the thread makes those that come due while the slot runs a task. The
end of a task ends no state while nothing is leased."""
_STOPS_WITHIN = 0.05
"""Seconds of a sleep while the process stops and only waits for its tasks to end."""
_AWAY_FOR = 0.5
"""Seconds until the next wait at a broker that does not answer."""


class LoopSleep:
    """The sleeps of one loop: in the states of its table, and at the broker.

    At the broker a message, the end of a task, and what is urgent end the wait. In a loop with one slot the slot may
    wait at the broker while the thread is idle; then the slot is woken. Methods that end a sleep may be called on
    any thread.
    """

    def __init__(self, table: Table, batch: Rounds, wait: Wait) -> None:
        self._table = table
        self._batch = batch
        self._wait = wait
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._row: Row | None = None
        self.ended_by_start = False
        """Whether a sleep goes on that the start of a task may end."""
        self._at_broker = False
        self._cut_off = False

    def task_starts(self) -> None:
        """A slot starts a task."""
        row = self._row
        if row is not None and row.ended_by_start is not None and row.ended_by_start(self._batch):
            self._wake.put(None)

    def task_ends(self) -> None:
        """A slot has finished a task."""
        if self._at_broker:
            self._wait.interrupt()
        elif (row := self._row) is not None and row.ended_by_end is not None and row.ended_by_end(self._batch):
            self._wake.put(None)

    def urgent(self) -> None:
        """A round has to be made at once."""
        if self._at_broker:
            self._wait.interrupt()
        elif self._row is not None:
            self._wake.put(None)

    def end(self) -> None:
        """The process stops. Safe in signals."""
        self._wake.put(None)
        self._wait.interrupt()

    def until_messages(self, seconds: float) -> None:
        """Wait at the broker, for ``seconds`` seconds at most."""
        batch, arrived = self._batch, 0
        self._at_broker = True
        try:
            if not (batch.any_finished or batch.urgent):
                seconds = STUCK_AFTER if batch.running else seconds
                arrived = self._wait.wait(batch.worker, tuple(batch.queues), seconds)
                if self._wait.outage():
                    batch.leases_uncertain, arrived = True, 1
                if self._cut_off:
                    self._cut_off = False
                    emit("broker.recovered")
        except BrokerError as exc:
            if not self._cut_off:
                self._cut_off = True
                emit("broker.unreachable", error=str(exc))
            batch.leases_uncertain, batch.last_poll_short = True, False
            time.sleep(_AWAY_FOR)
        finally:
            self._at_broker = False
        if arrived or time.monotonic() - batch.leased_at >= self._wait.look_every:
            batch.last_poll_short = False

    def sleep(self, state: State) -> None:
        """Sleep in a state of the table, until it is over or ended."""
        batch, row = self._batch, self._table[state]
        seconds = LINGER if state is State.STANDING_BY and batch.any_finished else row.seconds
        self._row, self.ended_by_start = row, row.ended_by_start is not None
        try:
            while not self._wake.empty():  # calls for an earlier round; their reasons are looked at below
                self._wake.get_nowait()
            if not (batch.urgent or (row.left_out is not None and row.left_out(batch))):
                self._wake.get(timeout=seconds)
            elif batch.stopping and batch.running and not batch.any_finished and not batch.any_acks:
                self._wake.get(timeout=_STOPS_WITHIN)
        except Empty:
            return
        finally:
            self._row, self.ended_by_start = None, False
