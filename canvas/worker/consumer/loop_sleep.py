"""How the thread of a consumer loop sleeps, and what wakes it."""

import time
from queue import Empty, SimpleQueue

from canvas.errors import BrokerError
from canvas.telemetry import emit
from canvas.worker.consumer.batch import STUCK_AFTER, SettleBatch
from canvas.worker.consumer.wait import Wait

_LINGER = 0.005
_STANDS_BY = 30.0
"""Seconds after which the thread looks whether it has to make a round, though its only slot is idle."""


class LoopSleep:
    """The states of one loop while it makes no round.

    =============  =======================================  ========  ==============================================
    state          when                                     seconds   ends early when
    =============  =======================================  ========  ==============================================
    at the broker  nothing is leased, a slot is free        as asked  a message comes, a task ends, or it is urgent
    ``slots``      every slot is busy (several slots)       0.2       a task ends, or it is urgent
    ``linger``     tasks are leased and wait for a slot     0.005     half a batch has ended, no task waits for one of
                                                                      several slots any more, or it is urgent
    ``stand by``   the only slot runs a task, none waits    0.2       it is urgent, or a task has ended and others wait
    ``idle``       the only slot waits, and makes rounds    30        it starts a task, or it is urgent
    =============  =======================================  ========  ==============================================

    Urgent are a stop, an ack that a task waits for, a chord to end, and a change of the queues.
    """

    def __init__(self, batch: SettleBatch, wait: Wait, alone: bool) -> None:
        """``alone``: there is one slot, which makes rounds on its own thread while it has no task."""
        self._batch = batch
        self._wait = wait
        self._alone = alone
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._state = ""
        self._at_broker = False
        self._cut_off = False

    # -- what wakes it, on any thread

    def rouse(self, urgent: bool = False) -> None:
        """A task has ended; ``urgent``: or more than that."""
        if self._at_broker:
            self._wait.interrupt()
        elif self._state and (urgent or self._is_due()):
            self._wake.put(None)

    def task_begins(self) -> None:
        """A slot starts a task."""
        if self._state == "idle":
            self._wake.put(None)

    def end(self) -> None:
        """The process stops. Safe in signals."""
        self._wake.put(None)
        self._wait.interrupt()

    def _is_due(self) -> bool:
        """Whether the end of a task is a reason for a round on the thread, in whichever state that is."""
        if self._state == "linger" and not self._batch.enough:
            return not self._alone and self._batch.backlog.empty()
        # The only slot makes its next round itself when it has no work left.
        return not self._alone or not self._batch.backlog.empty()

    # -- the states

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
            time.sleep(0.5)
        finally:
            self._at_broker = False
        if arrived or time.monotonic() - batch.leased_at >= self._wait.look_every:
            batch.last_poll_short = False

    def until_finished(self) -> None:
        """Every slot is busy: wait for one of them."""
        self._sleep("slots", STUCK_AFTER)

    def stand_by(self) -> None:
        """The only slot makes the rounds, unless it runs a long task."""
        if self._batch.running:
            self._sleep("stand by", STUCK_AFTER)
        else:
            self._sleep("idle", _STANDS_BY)

    def linger(self) -> None:
        """Tasks wait for a slot: let a few results come together before the next call."""
        self._sleep("linger", _LINGER)

    def _sleep(self, state: str, seconds: float) -> None:
        batch, self._state = self._batch, state
        try:
            while not self._wake.empty():  # calls for an earlier round; their reasons are looked at below
                self._wake.get_nowait()
            if state == "stand by" and batch.finished:
                seconds = _LINGER
            due = batch.enough if state == "linger" else batch.finished and not self._alone
            if not (due or batch.pressing):
                self._wake.get(timeout=seconds)
            elif batch.stopping and batch.running and not batch.finished and not batch.acks:
                self._wake.get(timeout=0.05)
        except Empty:
            return
        finally:
            self._state = ""
