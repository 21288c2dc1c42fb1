"""A round: settle the tasks that the slots have finished and lease those that they will need, in one call.

Nothing here waits for work or decides when a round is made; ``canvas.worker.consumer.loop`` does.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from canvas import telemetry
from canvas.drivers.ports.values import Lease, LeaseReply, SettleReply
from canvas.errors import BrokerError
from canvas.model.message import Delivery
from canvas.model.settlement import DONE, ChordDispatch, Orphan, ReadyChord, RefusedEnd, Settlement, SettleResult
from canvas.telemetry import emit
from canvas.worker.consumer.buffer import DueBatch, KeptMessages, PrefetchBuffer, Work
from canvas.worker.consumer.loop_parts import LoopParts
from canvas.worker.consumer.loop_sleep import STUCK_AFTER
from canvas.worker.consumer.prefetch import QueueChange
from canvas.worker.consumer.repeated_calls import Comparisons, Concluding, Unsettled, WaitingAck, report_sent
from canvas.worker.consumer.shortcuts import acks_ahead, report_round

T = TypeVar("T")
_REPORTED_EVERY = 1.0
"""Seconds for which a lease need not be reported when it says the same as the one before."""


class SettleBatch(Concluding):
    """The state of one process between the broker and its slots. One thread at a time may :meth:`make` a round."""

    def __init__(self, parts: LoopParts, one_slot: bool) -> None:
        self.worker = parts.worker
        self.queues = deque(parts.queues)
        self.policy = parts.policy
        self.buffer = PrefetchBuffer()
        self.finished: deque[Settlement | ChordDispatch | None] = deque()
        self.submitted: deque[ReadyChord | Orphan | RefusedEnd | DueBatch] = deque()
        self.acks: deque[WaitingAck] = deque()
        self.kept: KeptMessages | None = None
        self.unstarted: deque[Delivery] = deque()
        """Messages that slots have not started because the process stops."""
        self.running: dict[int, float] = {}
        """When the running task began, by slot."""
        self.paused: dict[int, float] = {}
        """How long a task that waits for other work had run, by slot."""
        self.seconds_per_task = 0.0
        self.change: QueueChange | None = None
        self.stopping = False
        self.last_poll_short = False
        """The last lease got less than it asked for: more has to be waited for."""
        self.leased_at = 0.0
        """When it last asked for messages."""
        self.acks_early: Callable[[Delivery], bool] = lambda delivery: False
        self.deferred: Callable[[float], None] = lambda due: None
        self.expect: Callable[[bytes], object] | None = None
        self.early_acked: set[str] = set()
        self.leases_uncertain = False
        self._driver, self._leased, self._leases, self._wait = parts.driver, parts.leased, parts.leases, parts.wait
        self._inbox = parts.wait.node_inbox
        self._one_slot = one_slot
        self._seconds_per_message = self._busy_since = 0.0
        self._outstanding = 0
        self._reported: tuple[int, float] | None = None
        self._reported_at = 0.0
        self._unsettled = Unsettled()
        self._comparisons = Comparisons()

    def make(self) -> bool:
        """Settle and lease. False when there was nothing to do."""
        change, self.change = self.change, None
        if change is not None:
            self.queues = deque(change.queues)
            self.attempt(lambda: self._wait.end(self.worker))
            change.done.set()
        if self._unsettled.waiting:
            self._take_unsettled()
        if (self.leases_uncertain or self._comparisons.left) and not self._unsettled.partial:
            uncertain, self.leases_uncertain = self.leases_uncertain, False
            if self._comparisons.due(uncertain):
                self.attempt(lambda: self._driver.recovery.release_unknown(self.worker, self._leases))
        if self.submitted:
            self.hand_out_submitted()
        self._release_prefetched()
        batch, answers = self._take_finished()
        demand = self.prefetch_demand()
        if not (batch or answers or (demand and not self.last_poll_short)):
            return False
        self._exchange(batch, answers, demand)
        return True

    def over(self) -> bool:
        """Whether everything is settled, once it is to stop. Gives back the messages that have not started."""
        if self.kept is not None:
            self.unstarted.extend(self.kept.withdraw())
        self._give_back()
        return not (self._outstanding or self.finished or self.acks or self._unsettled.any)

    @property
    def urgent(self) -> bool:
        """Whether a round has to be made at once: for an ack, for work that was submitted, for a stop or a change."""
        return bool(self.acks or self.submitted or self.stopping or self.change)

    @property
    def buffered(self) -> bool:
        """Whether tasks are leased and wait for a slot."""
        return not self.buffer.empty()

    @property
    def any_finished(self) -> bool:
        """Whether a task has ended that is not settled yet."""
        return bool(self.finished)

    @property
    def any_acks(self) -> bool:
        """Whether a task waits for the commit of a settlement."""
        return bool(self.acks)

    @property
    def half_full(self) -> bool:
        """Whether half a batch is finished: it need not wait for more."""
        return len(self.finished) >= self.policy.batch // 2

    def hand_out_submitted(self) -> None:
        """Let the slots have the work that was submitted."""
        while self.submitted and not self.stopping:
            self._hand_out(self.submitted.popleft())

    def prefetch_demand(self) -> int:
        """How many messages to ask for: a free slot's worth, and some milliseconds of work beyond."""
        if self.stopping or not self.queues:
            return 0
        policy, buffered = self.policy, self.buffer.qsize()
        idle = len(self.paused) + (len(self.kept) if self.kept is not None else 0)
        free = max(0, policy.slots + idle - (self._outstanding - buffered))
        if self._inbox is not None and self._inbox.siblings_idle():
            return max(0, free - buffered)
        ahead, task, message = policy.slots, self.seconds_per_task, self._seconds_per_message
        if task > 0:
            # The calls of the broker take time too: what is sent meanwhile waits behind all that is held.
            whole = policy.seconds / message if message > 0 else 0.0
            ahead = int(min(policy.seconds * policy.slots / task, max(ahead, policy.batch, whole)))
        return max(0, free + min(ahead, policy.limit) - buffered)

    def _take_finished(self) -> tuple[list[Settlement | ChordDispatch], list[WaitingAck]]:
        batch: list[Settlement | ChordDispatch] = []
        finished, forget, most = self.finished, self._leases.pop, self.policy.batch
        while finished and len(batch) < most:
            self._outstanding -= 1
            if (item := finished.popleft()) is not None:
                batch.append(item)
                if type(item) is Settlement and item.delivery is not None:
                    forget(item.delivery.tag, None)
        answers = [self.acks.popleft() for _ in range(len(self.acks))] if self.acks else []
        return batch, answers

    def _exchange(self, batch: list[Settlement | ChordDispatch], answers: list[WaitingAck], demand: int) -> None:
        settlements: list[Settlement] = []
        ends: list[ChordDispatch] = []
        for item in batch:
            (settlements if isinstance(item, Settlement) else ends).append(item)  # type: ignore[arg-type]
        acks = [settlement for settlement, _ in answers] if answers else []
        soon: list[Settlement] = []
        if acks and self._one_slot and any(ack.early_ack for ack in acks):
            soon = acks_ahead(self.buffer, self.seconds_per_task, self.early_acked, self.acks_early)
        lease = self._request(demand) if demand else None
        settle = partial(self._driver.settler.settle, [*acks, *soon, *settlements], lease, ends)
        try:
            settled: SettleReply | None = settle()
        except BrokerError as exc:
            settled = self._settled_later(settle, exc, bool(batch or answers))
        if settled is not None:
            if self._unsettled.waiting or (settled.leased is not None and settled.leased.partial):
                self.leases_uncertain |= self._unsettled.note(settled)
            for item in batch:
                for deferral in item.deferrals:
                    self.deferred(deferral.due)
            if "batch.settled" in telemetry.listeners:
                report_round(settled, len(soon))
            self._apply(settled.verdicts, answers, soon, settlements)
            for end, verdict in zip(ends, settled.dispatched, strict=True):
                self._dispatched(end, verdict)
            self._take_leased(lease, settled.leased, len(settlements))

    def _apply(
        self, verdicts: Sequence[SettleResult], answers: list[WaitingAck],
        soon: Sequence[Settlement], settlements: Sequence[Settlement],
    ) -> None:  # fmt: skip
        """Pass on the verdicts: on the acks that slots wait for, on acks ahead of their turn, on settlements."""
        acks = len(answers)
        for ack, verdict in zip(soon, verdicts[acks:], strict=False):
            if ack.delivery and verdict.held:
                self.early_acked.add(ack.delivery.tag)  # before a slot knows of its own ack, and takes the next message
        for (ack, answer), verdict in zip(answers, verdicts, strict=False):
            self.submitted.extend(verdict.ready)
            if verdict.unsettled:
                self._unsettled.acks.append((ack, answer))
            else:
                answer.put(verdict.held)
        for settlement, verdict in zip(settlements, verdicts[acks + len(soon) :], strict=True):
            if verdict is not DONE or settlement.sent:
                self._concluded(settlement, verdict)

    def _take_leased(self, lease: Lease | None, leased: LeaseReply | None, settled: int) -> None:
        """Hand out the messages of a lease, if there was one, in a round that has ``settled`` some."""
        if self.submitted:
            # A chord's body, or the next nodes of a run, must not wait behind the messages that were just leased.
            self.hand_out_submitted()
        deliveries = leased.deliveries if leased is not None else []
        known = leased is None or not deliveries or self._now_leased(leased)
        self._outstanding += len(deliveries)
        self._leases.update((delivery.tag, delivery) for delivery in deliveries)
        # Messages that may be revoked are kept from the slots.
        (self.buffer.extend if known else self.unstarted.extend)(deliveries)
        now, before = time.monotonic(), self._seconds_per_message
        if lease is not None:
            if self._inbox is not None:
                self._inbox.leased(len(deliveries), lease.limit)
            self.leased_at = now
        self.last_poll_short = lease is not None and len(deliveries) < lease.limit
        if settled and self._busy_since:
            self._seconds_per_message += ((now - self._busy_since) / settled - before) * (0.2 if before else 1.0)
        self._busy_since = 0.0 if self.buffer.empty() else now
        if self._driver.broker.round_robin:
            self.queues.rotate(-1)

    def _request(self, demand: int) -> Lease | None:
        """The lease to ask for; ``None`` where this process cannot register for it before it is to end."""
        inbox = self._inbox
        if inbox is not None and inbox.is_unregistered() and not self.attempt(inbox.register):
            return None
        node = inbox.inbox() if inbox is not None else ""
        return Lease(self.worker, tuple(self.queues), demand, node, self.expect)

    def _hand_out(self, item: Work) -> None:
        self._outstanding += 1
        if isinstance(item, Delivery):
            self._leases[item.tag] = item
        self.buffer.put(item)

    def _now_leased(self, leased: LeaseReply) -> bool:
        """Report a lease, unless it is of one message and says the same as one a moment ago. False where the process is
        to end before the broker has said what is revoked."""
        news, now = (leased.revocations_version, leased.clock_offset), time.monotonic()
        if len(leased.deliveries) < 2 and news == self._reported and now - self._reported_at < _REPORTED_EVERY:
            return True
        try:
            self._leased(leased)
        except BrokerError:
            if self.attempt(lambda: (self._leased(leased),)) is None:
                return False
        self._reported, self._reported_at = news, now
        return True

    def _concluded(self, settlement: Settlement, verdict: SettleResult) -> None:
        if verdict.refused:
            self._dead_letter(settlement, verdict)
        elif verdict.unsettled:
            self._unsettled.items.append(settlement)
            if settlement.delivery is not None:
                self._leases[settlement.delivery.tag] = settlement.delivery
        elif not verdict.held and settlement.delivery is not None:
            emit("worker.lease_lost", tag=settlement.delivery.tag, queue=settlement.delivery.queue)
        elif settlement.sent:
            report_sent(settlement)
        for chord_dispatch, *_ in settlement.speculative:
            if chord_dispatch.group_id in verdict.ended:
                report_sent(chord_dispatch)
                emit("chord.dispatched", group_id=chord_dispatch.group_id, failed=chord_dispatch.failed)
        self.submitted.extend(verdict.ready)

    def _release_prefetched(self) -> None:
        """When a running task turns out long: leases that would wait behind it go back, for others to run."""
        running = time.monotonic() - min(list(self.running.values()), default=time.monotonic())
        if running < STUCK_AFTER or len(self.running) < self.policy.slots:
            return
        self.seconds_per_task = max(self.seconds_per_task, running)
        if not self.buffer.empty():
            self._give_back()
        self.attempt(lambda: self._wait.release_prefetched(self.worker))

    def _give_back(self) -> None:
        """Return the leases of what has not started."""
        unstarted = [self.unstarted.popleft() for _ in range(len(self.unstarted))]
        self._outstanding -= len(unstarted)
        for item in self.buffer.drain():
            self._outstanding -= 1
            if isinstance(item, Delivery):
                unstarted.append(item)
            else:
                self.submitted.append(item)
        acked = self.early_acked.intersection(delivery.tag for delivery in unstarted)
        for delivery in unstarted:
            self._leases.pop(delivery.tag, None)
            self.early_acked.discard(delivery.tag)
        if unstarted:
            # Messages that are acked already would end in failure; the other leases expire with the worker.
            (self.persist if acked else self.attempt)(lambda: self._driver.broker.release(unstarted))
