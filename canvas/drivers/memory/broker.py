"""Queues and leases in this process."""

import time
from bisect import bisect_right
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

from canvas.drivers.memory.bus import MemoryInbox
from canvas.drivers.memory.store import Memory
from canvas.drivers.ports.values import ORPHANS_AGAIN, Binding, DeadLetter, HeartbeatReply, InFlight, Lease, Scheduled
from canvas.drivers.priority import STEPS, priority_of
from canvas.drivers.retry_policy import Delays
from canvas.model.message import Delivery, Publish
from canvas.model.settlement import DelayedPublish, Orphan, Settlement, SettleResult, UniqueLock
from canvas.wire.task_message import put_back


class MemoryBroker:
    """The Broker over a :class:`Memory`, and its half of a stepwise settler."""

    takes_turns = True

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def declare(self, bindings: Sequence[Binding]) -> None:
        with self._memory.lock:
            for binding in bindings:
                self._memory.bindings[binding.exchange].add(binding)

    def publish(self, messages: Sequence[Publish], delays: Delays = None) -> None:
        with self._memory.lock:
            for message in messages:
                self._memory.push(message)

    async def apublish(self, messages: Sequence[Publish], delays: Delays = None) -> None:
        self.publish(messages)

    def broadcast(self, exchange: str, payload: bytes, routing_key: str = "") -> None:
        self.reply(exchange, "*" if routing_key else "", payload)

    def reply(self, exchange: str, routing_key: str, payload: bytes) -> None:
        for inbox in list(self._memory.inboxes.get((exchange, routing_key), ())):
            inbox.arrived.put(payload)

    def subscribe(self, exchange: str, topics: bool = False) -> AbstractContextManager[MemoryInbox]:
        return self._inbox(exchange, "*" if topics else "")

    def replies(self, exchange: str, routing_key: str) -> AbstractContextManager[MemoryInbox]:
        return self._inbox(exchange, routing_key)

    @contextmanager
    def _inbox(self, exchange: str, routing_key: str) -> Iterator[MemoryInbox]:
        inbox = MemoryInbox()
        self._memory.inboxes[exchange, routing_key].append(inbox)
        try:
            yield inbox
        finally:
            self._memory.inboxes[exchange, routing_key].remove(inbox)

    def lease(self, request: Lease) -> list[Delivery]:
        memory = self._memory
        taken: list[Delivery] = []
        with memory.lock:
            for step in STEPS:
                for queue in request.queues:
                    waiting = memory.queues[queue, step]
                    while waiting and len(taken) < request.limit:
                        payload = waiting.popleft()
                        tag = f"canvas:{request.worker}:{next(memory.numbers)}"
                        memory.unacked[tag] = (queue, payload)
                        taken.append(Delivery(tag, queue, payload, time.monotonic()))
        return taken

    @property
    def clock_offset(self) -> float:
        return 0.0

    @property
    def revision(self) -> int:
        return self._memory.revision

    def revoke(self, entries: Sequence[str], seconds: float) -> None:
        memory = self._memory
        with memory.lock:
            known = self.revoked()
            memory.revoked.update(dict.fromkeys(entries, memory.clock() + seconds))
            memory.revision += not set(entries) <= set(known)

    def revoked(self) -> list[str]:
        memory = self._memory
        with memory.lock:
            memory.revoked = {entry: until for entry, until in memory.revoked.items() if until > memory.clock()}
            return list(memory.revoked)

    def wait(self, worker: str, queues: Sequence[str], timeout: float) -> int:
        memory = self._memory

        def ready() -> bool:
            return memory.interrupts > 0 or any(memory.queues[queue, step] for queue in queues for step in STEPS)

        with memory.changed:
            found = memory.changed.wait_for(ready, timeout)
            memory.interrupts = 0
        return int(found)

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

    def empty_inbox(self, worker: str, queues: Sequence[str]) -> int:
        return 0

    def delete_dead_letter(self, queue: str, letter: DeadLetter) -> bool:
        with self._memory.lock:
            kept = self._memory.dead[queue]
            if letter not in kept:
                return False
            kept.remove(letter)
            return True

    def requeue_dead_letter(self, queue: str, letter: DeadLetter, payload: bytes) -> bool:
        held = self.delete_dead_letter(queue, letter)
        if held:
            self.publish([Publish("", queue, priority_of(payload), payload)])
        return held

    def dead_letters(self, queue: str) -> list[DeadLetter]:
        return list(self._memory.dead[queue])

    def dead_letter_count(self, queue: str) -> int:
        return len(self._memory.dead[queue])

    def queue_length(self, queue: str) -> int:
        return sum(len(self._memory.queues[queue, step]) for step in STEPS)

    def in_flight(self) -> InFlight:
        memory = self._memory
        return InFlight(len(memory.unacked), len(memory.deferred), sum(len(w) for _, w in memory.parked.values()))

    def purge(self, queue: str) -> int:
        with self._memory.lock:
            length = self.queue_length(queue)
            for step in STEPS:
                self._memory.queues[queue, step].clear()
        return length

    # -- workers

    def heartbeat(self, worker: str, queues: Sequence[str], ttl: float) -> HeartbeatReply:
        known = worker in self._memory.workers
        self._memory.workers[worker] = self._memory.clock() + ttl
        return HeartbeatReply(len(self._memory.workers), known)

    def rest(self, worker: str) -> bool:
        memory, prefix = self._memory, f"canvas:{worker}:"
        with memory.lock:
            if any(tag.startswith(prefix) for tag in (*memory.unacked, *memory.begun)):
                return False
            memory.workers.pop(worker, None)
            return True

    def release_unknown(self, worker: str, held: Collection[str]) -> int:
        memory, prefix = self._memory, f"canvas:{worker}:"
        with memory.lock:
            tags = [tag for tag in memory.unacked if tag.startswith(prefix) and tag not in held]
            return sum(memory.release(tag, mark=True, count_delivery=False) for tag in reversed(tags))

    def unregister(self, worker: str) -> None:
        self._return_all(worker, count_delivery=False)

    def mark_started(self, delivery: Delivery) -> None:
        self._memory.started.add(delivery.tag)

    def recover_worker(self, worker: str) -> int:
        return self._return_all(worker, count_delivery=True)

    def _return_all(self, worker: str, count_delivery: bool) -> int:
        memory, prefix = self._memory, f"canvas:{worker}:"
        with memory.lock:
            memory.workers.pop(worker, None)
            tags = [tag for tag in memory.unacked if tag.startswith(prefix)]
            given = sum(memory.release(t, mark=True, count_delivery=count_delivery) for t in reversed(tags))
            orphans = {tag: (memory.clock(), "") for tag in memory.begun if tag.startswith(prefix)}
            memory.orphaned = {**orphans, **memory.orphaned}
            memory.started = {tag for tag in memory.started if not tag.startswith(prefix)}
            return given

    def has_orphans(self) -> bool:
        return bool(self._memory.orphaned)

    def claim_orphans(self) -> list[Orphan]:
        memory, found = self._memory, []
        with memory.lock:
            now = memory.clock()
            for tag, (since, reason) in list(memory.orphaned.items()):
                if since <= now:
                    found.append(Orphan(Delivery(tag, *memory.begun[tag]), reason))
                    memory.orphaned[tag] = (now + ORPHANS_AGAIN, reason)
        return found

    def leases(self, worker: str) -> list[Delivery]:
        prefix = f"canvas:{worker}:"
        with self._memory.lock:
            return [Delivery(tag, *record) for tag, record in self._memory.unacked.items() if tag.startswith(prefix)]

    def leased_message(self, tag: str) -> bytes | None:
        record = self._memory.unacked.get(tag) or self._memory.begun.get(tag)
        return record[1] if record is not None else None

    def orphan_lease(self, tag: str, reason: str) -> bool:
        memory = self._memory
        with memory.lock:
            record = memory.unacked.pop(tag, None) or memory.begun.get(tag)
            if record is None:
                return False
            memory.begun[tag] = record
            memory.orphaned[tag] = (memory.clock(), reason)
            return True

    def recover_dead_workers(self) -> int:
        memory = self._memory
        with memory.lock:
            gone = [worker for worker, until in memory.workers.items() if until < memory.clock()]
            return sum(self._return_all(worker, count_delivery=True) for worker in gone)

    def enqueue_due(self, limit: int) -> int:
        memory = self._memory
        with memory.lock:
            memory.deferred.sort()
            due = bisect_right(memory.deferred, memory.clock(), key=lambda entry: entry[0])
            moving, memory.deferred = memory.deferred[: min(due, limit)], memory.deferred[min(due, limit) :]
            for _, _, message in moving:
                memory.push(message)
        return len(moving)

    def enqueue_delayed(self, queue: str, limit: int) -> int:
        memory = self._memory
        with memory.lock:
            moved, kept = 0, []
            for entry in sorted(memory.deferred):
                if moved < limit and queue in memory.route(entry[2]):
                    memory.push(entry[2])
                    moved += 1
                else:
                    kept.append(entry)
            memory.deferred = kept
        return moved

    def scheduled(self, limit: int) -> list[Scheduled]:
        with self._memory.lock:
            first = sorted(self._memory.deferred)[:limit]
        return [Scheduled(due, publish.routing_key, publish.payload) for due, _, publish in first]

    def next_due(self) -> float | None:
        memory = self._memory
        with memory.lock:
            return min(memory.deferred)[0] - memory.clock() if memory.deferred else None

    # -- turns

    def reserve_rate_slot(self, key: str, interval: float) -> float:
        memory = self._memory
        with memory.lock:
            now = memory.clock()
            at = max(memory.turns.get(key, 0.0), now)
            memory.turns[key] = at + interval
            return at if at > now else 0.0

    def acquire_permit(self, key: str, limit: int, delivery: Delivery) -> bool:
        memory = self._memory
        with memory.lock:
            if delivery.tag in memory.places[key]:
                return True
            if delivery.tag not in memory.unacked:
                return False
            if memory.taken(key) < limit:
                memory.places[key].add(delivery.tag)
                return True
            queue, payload = memory.unacked.pop(delivery.tag)
            _, waiting = memory.parked.get(key, (limit, deque[tuple[str, bytes]]()))
            waiting.append((queue, payload))
            memory.parked[key] = (limit, waiting)
            return False

    def enqueue_blocked(self) -> int:
        memory = self._memory
        with memory.lock:
            waiting = [(key, limit) for key, (limit, _) in memory.parked.items()]
            return sum(memory.enqueue_blocked(key, limit - memory.taken(key)) for key, limit in waiting)

    def publish_unique(self, message: Publish, lock: UniqueLock, seconds: float, delays: Delays = None) -> str | None:
        memory = self._memory
        with memory.lock:
            owner, until = memory.locks.get(lock.key, ("", 0.0))
            if owner and until > memory.clock():
                return owner
            memory.locks[lock.key] = (lock.owner, memory.clock() + seconds)
            memory.push(message)
            return None

    def release_lock(self, lock: UniqueLock) -> None:
        with self._memory.lock:
            self._memory.unlock(lock)

    def close(self) -> None:
        """There is no connection to close."""

    # -- stepwise

    def fences(self, settlements: Sequence[Settlement]) -> list[bool]:
        with self._memory.lock:
            return [self._fence_holds(settlement) for settlement in settlements]

    def _fence_holds(self, settlement: Settlement) -> bool:
        memory, delivery = self._memory, settlement.delivery
        if delivery is None or settlement.fence == "none":
            return True
        begun = delivery.tag in memory.begun
        if settlement.fence == "begun":
            return begun
        return delivery.tag in memory.unacked or (settlement.begins and begun)

    def settle(
        self, settlements: Sequence[Settlement], lease: Lease | None
    ) -> tuple[list[SettleResult], list[Delivery]]:
        with self._memory.lock:
            done = [SettleResult(self.dispose(settlement), []) for settlement in settlements]
            return done, self.lease(lease) if lease is not None else []

    def publish_once(self, guard: str, publishes: Sequence[Publish], deferrals: Sequence[DelayedPublish]) -> bool:
        with self._memory.lock:
            if guard in self._memory.fired:
                return False
            self._memory.fired.add(guard)
            self.dispose(Settlement(None, publishes=list(publishes), deferrals=list(deferrals)))
            return True

    def _holds(self, settlement: Settlement, tag: str, leased: bool) -> bool:
        memory = self._memory
        if settlement.fence == "begun":
            memory.orphaned.pop(tag, None)
            return memory.begun.pop(tag, None) is not None
        return leased or settlement.fence == "none" or (settlement.begins and tag in memory.begun)

    def dispose(self, settlement: Settlement) -> bool:
        """Messages and ack of a settlement; False when its lease was lost."""
        memory, delivery = self._memory, settlement.delivery
        if delivery is not None:
            record = memory.unacked.pop(delivery.tag, None)
            memory.started.discard(delivery.tag)
            if not self._holds(settlement, delivery.tag, record is not None):
                return False
            if settlement.begins and record is not None:
                memory.begun[delivery.tag] = record
        for message in settlement.publishes:
            memory.push(message)
        for key in settlement.frees:
            assert delivery is not None
            memory.free(key, delivery.tag)
        for lock in settlement.unlocks:
            memory.unlock(lock)
        memory.deferred += [(d.due, next(memory.numbers), d.publish) for d in settlement.deferrals]
        if delivery is not None and settlement.disposal in ("requeue", "redeliver"):
            payload = put_back(delivery.payload, settlement.disposal == "redeliver")
            memory.push(Publish("", delivery.queue, priority_of(payload), payload))
        elif delivery is not None and settlement.disposal == "dead_letter":
            letter = DeadLetter(delivery.payload, settlement.reason, delivery.queue, memory.clock())
            memory.dead[delivery.queue].append(letter)
        return True
