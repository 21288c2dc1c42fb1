"""How a consumer loop sleeps between its rounds, and what wakes it."""

import time
from queue import Empty, SimpleQueue

from canvas.errors import BrokerError
from canvas.telemetry import emit
from canvas.worker.consumer.batch import SettleBatch
from canvas.worker.consumer.loop_states import LINGER, STUCK_AFTER, Row, State, Table
from canvas.worker.consumer.wait import Wait

_STOPS_WITHIN = 0.05
"""Seconds of a sleep while the process stops and only waits for its tasks to end."""
_AWAY_FOR = 0.5
"""Seconds until the next wait at a broker that does not answer."""


class LoopSleep:
    """The sleeps of one loop: in the states of its table, and at the broker.

    At the broker a message, the end of a task, and what is urgent end the wait. In a loop with one slot the slot may
    wait at the broker while the thread is idle; then the slot is woken.
    """

    def __init__(self, table: Table, batch: SettleBatch, wait: Wait) -> None:
        self._table = table
        self._batch = batch
        self._wait = wait
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._row: Row | None = None
        self._at_broker = False
        self._cut_off = False

    # -- what wakes it, on any thread

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

    # -- the sleeps

    def until_messages(self, patience: float) -> None:
        """Wait at the broker, for ``patience`` seconds at most."""
        batch, arrived = self._batch, 0
        self._at_broker = True
        try:
            if not (batch.finished or batch.pressing):
                patience = STUCK_AFTER if batch.running else patience
                arrived = self._wait.wait(batch.worker, tuple(batch.queues), patience)
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
        seconds = LINGER if state is State.STANDING_BY and batch.finished else row.seconds
        self._row = row
        try:
            while not self._wake.empty():  # calls for an earlier round; their reasons are looked at below
                self._wake.get_nowait()
            if not (batch.pressing or (row.left_out is not None and row.left_out(batch))):
                self._wake.get(timeout=seconds)
            elif batch.stopping and batch.running and not batch.finished and not batch.acks:
                self._wake.get(timeout=_STOPS_WITHIN)
        except Empty:
            return
        finally:
            self._row = None
