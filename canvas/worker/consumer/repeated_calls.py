"""Calls to the broker that are repeated until it takes them, and settlements that wait for a server that is away."""

import time
from collections import deque
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import TypeAlias, TypeVar

from canvas.drivers.ports.settler import PartlySettled
from canvas.drivers.ports.values import SettleReply
from canvas.errors import BrokerError
from canvas.model.message import Delivery
from canvas.model.settlement import ChordDispatch, Orphan, ReadyChord, RefusedEnd, Settlement, SettleResult
from canvas.telemetry import emit
from canvas.worker.consumer.buffer import DueBatch

T = TypeVar("T")
WaitingAck: TypeAlias = tuple[Settlement, "SimpleQueue[bool]"]
"""An ack, and the queue at which a slot waits for its answer."""
_LOOKS_EVERY = 0.1
_TRIED_EVERY = 1.0
"""Seconds between two attempts to settle what is unsettled."""
_COMPARED_AGAIN = (10.0, 60.0, 300.0)
"""Seconds after an outage. A system sends the last bytes of a closed connection again for some minutes at most."""
_LONGEST_PAUSE = 2.0
"""Seconds for which a worker may go on waiting when the broker is back."""


def report_sent(end: Settlement | ChordDispatch) -> None:
    """Report the messages that have left with the end of a task, or of a chord."""
    for message in end.sent:
        emit("message.published", message=message())


class Persistent:
    """Repeats calls for as long as the process is to go on."""

    stopping: bool
    leases_uncertain: bool
    """The broker was unreachable: it may have come back as a copy that has forgotten how some leases ended."""

    def persist(self, call: Callable[[], T], ends: Callable[[], bool] = bool) -> T:
        """Repeat a call until the broker takes it: what is finished waits here, and is not run again.

        Raises BrokerError when the broker is unreachable and ``ends()`` is true.
        """
        try:
            return call()
        except BrokerError as exc:
            return self.repeat(call, exc, ends)

    def repeat(self, call: Callable[[], T], failure: BrokerError, ends: Callable[[], bool] = bool) -> T:
        """Like ``persist``, for a call that was tried once and ended in ``failure``."""
        self.leases_uncertain = True
        emit("broker.unreachable", error=str(failure))
        delay = 0.1
        while not ends():
            self._pause(delay)
            delay = min(delay * 2, _LONGEST_PAUSE)
            try:
                answer = call()
            except BrokerError as exc:
                self.leases_uncertain, failure = True, exc
            else:
                emit("broker.recovered")
                return answer
        raise failure

    def attempt(self, call: Callable[[], T]) -> T | None:
        """Repeat a call that may be left out where the broker is unreachable and the process is to end: ``None`` then.

        Other workers return what this process leased when its heartbeat has expired.
        """
        try:
            return call()
        except BrokerError as exc:
            return self.attempt_again(call, exc)

    def attempt_again(self, call: Callable[[], T], failure: BrokerError) -> T | None:
        """Like ``attempt``, for a call that was tried once and ended in ``failure``."""
        try:
            return self.repeat(call, failure, lambda: self.stopping)
        except BrokerError:
            return None

    def _pause(self, seconds: float) -> None:
        """Sleep; a process that is to stop meanwhile goes on at once."""
        until, before = time.monotonic() + seconds, self.stopping
        while (left := until - time.monotonic()) > 0 and self.stopping == before:
            time.sleep(min(left, _LOOKS_EVERY))


class Comparisons:
    """When to compare the leases that the broker lists with those that this process holds: after each outage, and some
    times later. A request that was given up may reach the broker minutes later, and lease messages."""

    def __init__(self) -> None:
        self.left: deque[float] = deque()
        """When to compare again, by the monotonic clock."""

    def due(self, uncertain: bool) -> bool:
        """Whether to compare now; ``uncertain``: an outage is just over."""
        now = time.monotonic()
        if uncertain:
            self.left = deque(now + seconds for seconds in _COMPARED_AGAIN)
        elif now < self.left[0]:
            return False
        else:
            self.left.popleft()
        return True


class Unsettled:
    """The settlements that a process has to make again, in order: a server is away, and others answer."""

    def __init__(self) -> None:
        self.items: list[Settlement | ChordDispatch] = []
        self.acks: list[WaitingAck] = []
        """Acks that slots wait for."""
        self.partial = False
        """A server was away in the latest round."""
        self.waiting = False
        """A server was away in the latest round, or something is unsettled."""
        self._at = 0.0

    @property
    def any(self) -> bool:
        """Whether something has to be settled again."""
        return bool(self.items or self.acks)

    def as_far(self, settle: Callable[[], SettleReply]) -> SettleReply:
        """Settle what can be settled now. Raises BrokerError when nothing can be."""
        try:
            return settle()
        except PartlySettled as exc:
            self.waiting = True
            return exc.reply

    def note(self, reply: SettleReply) -> bool:
        """Note whether a server was away in a round. Returns whether all are back since the round before."""
        before, leased = self.partial, reply.leased
        known = leased.partial if leased is not None else before
        self.partial = known or any(verdict.unsettled for verdict in (*reply.verdicts, *reply.dispatched))
        self.waiting = self.partial or self.any
        if self.partial:
            self._at = time.monotonic() + _TRIED_EVERY
        return before and not self.partial

    def due(self) -> bool:
        """Whether to try again now."""
        return self.any and time.monotonic() >= self._at


class Concluding(Persistent):
    """The ends of settlements, as the servers decide them."""

    finished: deque[Settlement | ChordDispatch | None]
    submitted: deque[ReadyChord | Orphan | RefusedEnd | DueBatch]
    acks: deque[WaitingAck]
    _leases: dict[str, Delivery]
    _outstanding: int
    _unsettled: Unsettled

    def _settled_later(
        self, settle: Callable[[], SettleReply], failure: BrokerError, needed: bool
    ) -> SettleReply | None:
        """The reply after a first try that failed; ``needed``: not to be left out when the process is to end."""
        if isinstance(failure, PartlySettled):
            self._unsettled.waiting = True
            return failure.reply
        again = partial(self._unsettled.as_far, settle)
        return self.repeat(again, failure) if needed else self.attempt_again(again, failure)

    def _take_unsettled(self) -> None:
        """Settle again what is unsettled, when it is time."""
        if not self._unsettled.due():
            return
        acks, items = self._unsettled.acks, self._unsettled.items
        self._unsettled.acks, self._unsettled.items = [], []
        self.acks.extend(acks)
        self.finished.extendleft(reversed(items))
        self._outstanding += len(items)

    def _dispatched(self, chord_dispatch: ChordDispatch, verdict: SettleResult) -> None:
        if verdict.refused:
            emit("chord.dispatch_refused", group_id=chord_dispatch.group_id, reason=verdict.refused)
            if chord_dispatch.chord is not None:
                self.submitted.append(chord_dispatch.chord.refused(verdict.refused, chord_dispatch.failed))
        if verdict.unsettled:
            self._unsettled.items.append(chord_dispatch)
        elif verdict.held and not verdict.refused:
            report_sent(chord_dispatch)
        self.submitted.extend(verdict.ready)

    def _dead_letter(self, settlement: Settlement, verdict: SettleResult) -> None:
        """Have the task of a settlement that a server refuses end in the next way (``TaskEnding``)."""
        delivery, why = settlement.delivery, verdict.refused
        if settlement.ending == "own":
            emit("message.dead_lettered", queue=delivery.queue if delivery else "", reason=why)
        if delivery is None or settlement.ending == "dead_letter":
            return
        reason = f"its end was refused: {why}"
        self._leases[delivery.tag] = delivery
        if settlement.ending != "bare_failure":
            self.submitted.append(RefusedEnd(delivery, settlement, reason, verdict.nothing_sent))
            return
        letter = Settlement(delivery, settlement.fence, disposal="dead_letter", reason=reason, ending="dead_letter")
        self._outstanding += 1
        self.finished.append(letter)
