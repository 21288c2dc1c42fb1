"""Who may go when: rates, concurrency keys, and the locks of unique tasks."""

from canvas.drivers.redis.connection.client import Link
from canvas.drivers.redis.keys import BrokerKeys
from canvas.model.message import Delivery
from canvas.model.settlement import Lock


class Turns:
    """The parts of ``Broker`` that limit how often and how many."""

    def __init__(self, link: Link, keys: BrokerKeys) -> None:
        self._link = link
        self._keys = keys

    def reserve(self, key: str, interval: float) -> float:
        return float(self._link.call("reserve", [self._keys.rate(key)], [repr(interval)]))

    def hold(self, key: str, limit: int, worker: str, delivery: Delivery, home: str) -> bool:
        """``home``: the list that the message goes back to."""
        keys = self._keys
        places = [keys.places(key), keys.parked(key), keys.parked_keys]
        leases = [keys.unacked, keys.unacked_index, keys.leases(worker)]
        arguments = [delivery.tag, limit, key, home, delivery.payload, keys.begun_prefix]
        return int(self._link.call("hold", [*places, *leases], arguments)) == 1

    def unpark(self) -> int:
        keys, total = self._keys, 0
        for key in [name.decode() for name in self._link.command("HKEYS", keys.parked_keys)]:
            script_keys = [keys.places(key), keys.parked(key), keys.parked_keys, keys.unacked]
            total += int(self._link.call("unpark", script_keys, [key, keys.begun_prefix]))
        return total

    def unlock(self, lock: Lock) -> None:
        self._link.call("unlock", [self._keys.unique(lock.key)], [lock.owner])
