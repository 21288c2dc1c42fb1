"""Which workers of this process's queues live, and the messages of those that do not."""

from collections.abc import Callable, Collection, Sequence
from math import inf

from canvas.drivers.memory.queues import MemoryQueues
from canvas.drivers.ports.values import ORPHANS_AGAIN, HeartbeatReply
from canvas.drivers.tags import number_of_tag, tag_of, worker_of_tag
from canvas.model.message import Delivery
from canvas.model.settlement import Orphan


class MemoryRecovery:
    """The Recovery over :class:`MemoryQueues`."""

    silence = inf

    def __init__(self, memory: MemoryQueues) -> None:
        self._memory = memory

    def heartbeat(self, worker: str, queues: Sequence[str], ttl: float) -> HeartbeatReply:
        memory, now = self._memory, self._memory.clock()
        with memory.lock:
            known = worker in memory.workers
            memory.workers[worker] = now + ttl
            return HeartbeatReply(sum(until >= now for until in memory.workers.values()), known)

    def rest(self, worker: str) -> bool:
        memory = self._memory
        with memory.lock:
            if any(worker_of_tag(tag) == worker for tag in (*memory.unacked, *memory.early_acked)):
                return False
            memory.workers.pop(worker, None)
            return True

    def release_unknown(self, worker: str, held: Collection[str]) -> int:
        memory = self._memory
        with memory.lock:
            tags = [tag for tag in memory.unacked if worker_of_tag(tag) == worker and tag not in held]
            return sum(memory.release(tag, mark=True, count_delivery=False) for tag in reversed(tags))

    def unregister(self, worker: str) -> None:
        self._return_all(worker, count_delivery=False)

    def mark_started(self, delivery: Delivery) -> None:
        self._memory.started.add(delivery.tag)

    def recover_worker(self, worker: str) -> int:
        return self._return_all(worker, count_delivery=True)

    def _return_all(self, worker: str, count_delivery: bool) -> int:
        memory = self._memory
        with memory.lock:
            memory.workers.pop(worker, None)
            tags = [tag for tag in memory.unacked if worker_of_tag(tag) == worker]
            given = sum(memory.release(t, mark=True, count_delivery=count_delivery) for t in reversed(tags))
            orphans = {tag: (memory.clock(), "") for tag in memory.early_acked if worker_of_tag(tag) == worker}
            memory.orphaned = {**orphans, **memory.orphaned}
            memory.started = {tag for tag in memory.started if worker_of_tag(tag) != worker}
            return given

    def has_orphans(self) -> bool:
        return bool(self._memory.orphaned)

    def claim_orphans(self) -> list[Orphan]:
        memory, found = self._memory, []
        with memory.lock:
            now = memory.clock()
            for tag, (since, reason) in list(memory.orphaned.items()):
                if since <= now:
                    found.append(Orphan(Delivery(tag, *memory.early_acked[tag]), reason))
                    memory.orphaned[tag] = (now + ORPHANS_AGAIN, reason)
        return found

    def lease_number(self, tag: str) -> int:
        return number_of_tag(tag)

    def lease_tag(self, worker: str, number: int) -> str:
        return tag_of(worker, number)

    def leases(self, worker: str) -> list[Delivery]:
        with self._memory.lock:
            return [
                Delivery(tag, *record) for tag, record in self._memory.unacked.items() if worker_of_tag(tag) == worker
            ]

    def on_broken(self, call: Callable[[], object]) -> None:
        """Nothing: leases do not end with a connection."""

    def still_leased(self, delivery: Delivery, early_acked: bool) -> bool:
        return delivery.tag in (self._memory.early_acked if early_acked else self._memory.unacked)

    def leased_message(self, tag: str) -> bytes | None:
        record = self._memory.unacked.get(tag) or self._memory.early_acked.get(tag)
        return record[1] if record is not None else None

    def orphan_lease(self, tag: str, reason: str) -> bool:
        memory = self._memory
        with memory.lock:
            record = memory.unacked.pop(tag, None) or memory.early_acked.get(tag)
            if record is None:
                return False
            memory.early_acked[tag] = record
            memory.orphaned[tag] = (memory.clock(), reason)
            return True

    def recover_dead_workers(self) -> int:
        memory = self._memory
        with memory.lock:
            gone = [worker for worker, until in memory.workers.items() if until < memory.clock()]
            return sum(self._return_all(worker, count_delivery=True) for worker in gone)
