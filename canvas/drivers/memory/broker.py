"""Queues and leases in this process."""

import time
from bisect import bisect_right
from collections.abc import Sequence

from canvas.drivers.memory.queues import MemoryQueues
from canvas.drivers.ports.values import DeadLetter, Lease, LeaseReply
from canvas.drivers.priority import STEPS
from canvas.drivers.retry_policy import Delays
from canvas.drivers.stored_messages import requeued
from canvas.drivers.tags import tag_of
from canvas.model.message import Delivery, Publish
from canvas.model.queue import Queue
from canvas.model.settlement import DelayedPublish, Settlement, SettleResult


class MemoryBroker:
    """The Broker over :class:`MemoryQueues`."""

    round_robin = True
    shares_waits = True

    def __init__(self, memory: MemoryQueues) -> None:
        self._memory = memory
        self.codec = memory.codec

    def declare(self, queues: Sequence[Queue]) -> None:
        with self._memory.lock:
            for queue in queues:
                self._memory.bind(queue)

    def publish(self, messages: Sequence[Publish], delays: Delays = None) -> None:
        with self._memory.lock:
            for message in messages:
                self._memory.push(message)

    async def apublish(self, messages: Sequence[Publish], delays: Delays = None) -> None:
        self.publish(messages)

    def lease(self, request: Lease) -> list[Delivery]:
        memory = self._memory
        taken: list[Delivery] = []
        with memory.lock:
            for step in STEPS:
                for queue in request.queues:
                    waiting = memory.queues[queue, step]
                    while waiting and len(taken) < request.limit:
                        payload = waiting.popleft()
                        tag = tag_of(request.worker, next(memory.numbers))
                        memory.unacked[tag] = (queue, payload)
                        taken.append(Delivery(tag, queue, payload, time.monotonic()))
        return taken

    def wait(self, worker: str, queues: Sequence[str], timeout: float) -> int:
        memory = self._memory

        def ready() -> bool:
            return memory.interrupts > 0 or any(memory.queues[queue, step] for queue in queues for step in STEPS)

        with memory.changed:
            found = memory.changed.wait_for(ready, timeout)
            memory.interrupts = 0
        return int(found)

    def check(self) -> None:
        """This process answers."""

    def wake(self) -> None:
        memory = self._memory
        memory.interrupts += 1
        # A signal handler may run inside the lock's own code; the flag alone then ends the wait at its next look.
        if memory.lock.acquire(blocking=False):
            try:
                memory.changed.notify_all()
            finally:
                memory.lock.release()

    def release(self, deliveries: Sequence[Delivery]) -> int:
        with self._memory.lock:
            return sum(self._memory.release(delivery.tag) for delivery in reversed(deliveries))

    def stop_waiting(self, worker: str) -> None:
        """Waits move nothing aside here."""

    def release_prefetched(self, worker: str) -> int:
        return 0

    def enqueue_due(self, limit: int) -> int:
        memory = self._memory
        with memory.lock:
            memory.deferred.sort()
            due = bisect_right(memory.deferred, memory.clock(), key=lambda entry: entry[0])
            moving, memory.deferred = memory.deferred[: min(due, limit)], memory.deferred[min(due, limit) :]
            for _, _, message in moving:
                memory.push(message)
        return len(moving)

    def next_due(self) -> float | None:
        memory = self._memory
        with memory.lock:
            return min(memory.deferred)[0] - memory.clock() if memory.deferred else None

    def close(self) -> None:
        """There is no connection to close."""

    def fences(self, settlements: Sequence[Settlement]) -> list[bool]:
        with self._memory.lock:
            return [self._fence_holds(settlement) for settlement in settlements]

    def _fence_holds(self, settlement: Settlement) -> bool:
        memory, delivery = self._memory, settlement.delivery
        if delivery is None or settlement.fence == "none":
            return True
        early_acked = delivery.tag in memory.early_acked
        if settlement.fence == "early_acked":
            return early_acked
        return delivery.tag in memory.unacked or (settlement.early_ack and early_acked)

    def settle(self, settlements: Sequence[Settlement], lease: Lease | None) -> tuple[list[SettleResult], LeaseReply]:
        with self._memory.lock:
            done = [SettleResult(self._dispose(settlement), []) for settlement in settlements]
            taken = self.lease(lease) if lease is not None else []
            return done, LeaseReply(taken, self._memory.revocations_version, 0.0)

    def publish_once(self, guard: str, publishes: Sequence[Publish], deferrals: Sequence[DelayedPublish]) -> bool:
        with self._memory.lock:
            if guard in self._memory.guards:
                return False
            self._memory.guards.add(guard)
            self._dispose(Settlement(None, publishes=list(publishes), deferrals=list(deferrals)))
            return True

    def _holds(self, settlement: Settlement, tag: str, leased: bool) -> bool:
        memory = self._memory
        if settlement.fence == "early_acked":
            memory.orphaned.pop(tag, None)
            return memory.early_acked.pop(tag, None) is not None
        return leased or settlement.fence == "none" or (settlement.early_ack and tag in memory.early_acked)

    def _dispose(self, settlement: Settlement) -> bool:
        """Messages and ack of a settlement; False when its lease was lost."""
        memory, delivery = self._memory, settlement.delivery
        if delivery is not None:
            record = memory.unacked.pop(delivery.tag, None)
            memory.started.discard(delivery.tag)
            if not self._holds(settlement, delivery.tag, record is not None):
                return False
            if settlement.early_ack and record is not None:
                memory.early_acked[delivery.tag] = record
        for message in settlement.publishes:
            memory.push(message)
        for key in settlement.releases_permits:
            assert delivery is not None
            memory.free(key, delivery.tag)
        for lock in settlement.releases_locks:
            memory.unlock(lock)
        memory.deferred += [(d.due, next(memory.numbers), d.publish) for d in settlement.deferrals]
        if delivery is not None and settlement.disposal in ("requeue", "redeliver"):
            payload = requeued(self.codec, delivery.payload, settlement.disposal == "redeliver")
            memory.push(Publish("", delivery.queue, self.codec.priority_of(payload), payload))
        elif delivery is not None and settlement.disposal == "dead_letter":
            letter = DeadLetter(delivery.payload, settlement.reason, delivery.queue, memory.clock())
            memory.dead[delivery.queue].append(letter)
        return True
