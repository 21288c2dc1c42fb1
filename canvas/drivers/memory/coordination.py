"""The state that workers of one process share: revocations, rates, permits, locks."""

from collections import deque
from collections.abc import Sequence

from canvas.drivers.memory.queues import MemoryQueues
from canvas.drivers.retry_policy import Delays
from canvas.model.message import Delivery, Publish
from canvas.model.settlement import UniqueLock


class MemoryCoordination:
    """The Coordination over :class:`MemoryQueues`."""

    def __init__(self, memory: MemoryQueues) -> None:
        self._memory = memory

    def revoke(self, entries: Sequence[str], seconds: float) -> None:
        memory = self._memory
        with memory.lock:
            _, known = self.revoked()
            memory.revoked.update(dict.fromkeys(entries, memory.clock() + seconds))
            memory.revocations_version += not set(entries) <= set(known)

    def revoked(self) -> tuple[int, list[str]]:
        memory = self._memory
        with memory.lock:
            memory.revoked = {entry: until for entry, until in memory.revoked.items() if until > memory.clock()}
            return memory.revocations_version, list(memory.revoked)

    def reserve_rate_slot(self, key: str, interval: float) -> float:
        memory = self._memory
        with memory.lock:
            now = memory.clock()
            at = max(memory.rate_limits.get(key, 0.0), now)
            memory.rate_limits[key] = at + interval
            return at if at > now else 0.0

    def acquire_permit(self, key: str, limit: int, delivery: Delivery) -> bool:
        memory = self._memory
        with memory.lock:
            if delivery.tag in memory.permits[key]:
                return True
            if delivery.tag not in memory.unacked:
                return False
            if memory.taken(key) < limit:
                memory.permits[key].add(delivery.tag)
                return True
            queue, payload = memory.unacked.pop(delivery.tag)
            _, waiting = memory.blocked.get(key, (limit, deque[tuple[str, bytes]]()))
            waiting.append((queue, payload))
            memory.blocked[key] = (limit, waiting)
            return False

    def enqueue_blocked(self) -> int:
        memory = self._memory
        with memory.lock:
            waiting = [(key, limit) for key, (limit, _) in memory.blocked.items()]
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
