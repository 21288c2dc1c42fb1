"""Who may go when: rates, concurrency keys, and the locks of unique tasks."""

from canvas.drivers.redis.connection.client import RedisClient
from canvas.drivers.redis.keys import BrokerKeys
from canvas.model.message import Delivery
from canvas.model.settlement import UniqueLock


class Limiter:
    """The parts of ``Broker`` that limit how often and how many."""

    def __init__(self, link: RedisClient, keys: BrokerKeys) -> None:
        self._link = link
        self._keys = keys

    def reserve(self, key: str, interval: float) -> float:
        return float(self._link.call("reserve_rate_slot", [self._keys.rate_limit(key)], [repr(interval)]))

    def hold(self, key: str, limit: int, worker: str, delivery: Delivery, home: str) -> bool:
        """``home``: the list that the message goes back to."""
        keys = self._keys
        places = [keys.permits(key), keys.waiting_for_permit(key), keys.concurrency_limits]
        leases = [keys.unacked, keys.unacked_index, keys.leases(worker)]
        arguments = [delivery.tag, limit, key, home, delivery.payload, keys.early_acked_prefix]
        return int(self._link.call("acquire_permit", [*places, *leases], arguments)) == 1

    def enqueue_blocked(self) -> int:
        keys, total = self._keys, 0
        for key in [name.decode() for name in self._link.command("HKEYS", keys.concurrency_limits)]:
            script_keys = [keys.permits(key), keys.waiting_for_permit(key), keys.concurrency_limits, keys.unacked]
            total += int(self._link.call("enqueue_blocked", script_keys, [key, keys.early_acked_prefix]))
        return total

    def unlock(self, lock: UniqueLock) -> None:
        self._link.call("release_lock", [self._keys.unique(lock.key)], [lock.owner])
