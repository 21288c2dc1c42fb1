"""Concurrency limits whose messages are in queues of several partitions.

The permits of a key are a set in the key's partition. Its members are holders: a lease, with the partition that it is
in. A message that gets no permit is blocked in the partition of its queue. These steps are not one atomic step, and
their order makes up for it: a worker blocks a message before it looks for a free permit again, and gives a permit up
before it looks for blocked messages. The periodic duties of workers free the permits of leases that are gone.
"""

from collections.abc import Collection, Sequence
from itertools import groupby

from canvas.drivers.redis.partitions.partition import Partition, Partitions
from canvas.drivers.tags import worker_of_tag
from canvas.model.message import Delivery

_NOTED_FOR = 30 * 86_400
"""Seconds for which a key's partitions with blocked messages are remembered, after the last message was blocked."""


class SharedPermits:
    """The permits of all partitions."""

    def __init__(self, partitions: Partitions) -> None:
        self._partitions = partitions

    def acquire(self, key: str, limit: int, delivery: Delivery) -> bool:
        """As Coordination.acquire_permit."""
        home = self._partitions.of_queue(delivery.queue)
        if not home.link.command("HEXISTS", home.keys.unacked, delivery.tag):
            return False
        if self._take(key, limit, _holder(home, delivery)):
            return True
        if self._forget_lost(key) and self._take(key, limit, _holder(home, delivery)):
            return True
        self._block(home, key, limit, delivery)
        self._unblock(key)
        return False

    def _take(self, key: str, limit: int, holder: str) -> bool:
        partition = self._partitions.of_key(key)
        return bool(partition.link.call("take_permit", [partition.keys.permits(key)], [holder, limit]))

    def _block(self, home: Partition, key: str, limit: int, delivery: Delivery) -> None:
        partition, keys = self._partitions.of_key(key), home.keys
        noted = partition.keys.blocking(key)
        partition.link.pipeline([("SADD", noted, home.name), ("EXPIRE", noted, _NOTED_FOR)])
        held = [keys.unacked, keys.unacked_index, keys.leases(worker_of_tag(delivery.tag))]
        script_keys = [keys.waiting_for_permit(key), keys.concurrency_limits, *held]
        queue = home.broker.packing.list_of(delivery.queue, delivery.payload)
        home.link.call("block", script_keys, [delivery.tag, limit, key, queue, delivery.payload])

    def release(self, keys: Sequence[str], delivery: Delivery) -> None:
        """Give up the permits of a settled delivery."""
        holder = _holder(self._partitions.of_queue(delivery.queue), delivery)
        for key in keys:
            partition = self._partitions.of_key(key)
            if self._partitions.away.answers(partition):
                partition.link.command("SREM", partition.keys.permits(key), holder)
                self._unblock(key)

    def _unblock(self, key: str) -> int:
        """Return as many messages of a key to their queues as there are free permits. Returns how many."""
        partition = self._partitions.of_key(key)
        taken, names = partition.link.pipeline(
            [("SCARD", partition.keys.permits(key)), ("SMEMBERS", partition.keys.blocking(key))]
        )
        returned = 0
        for home in filter(None, (self._partitions.named(name.decode()) for name in sorted(names))):
            limit = int(home.link.command("HGET", home.keys.concurrency_limits, key) or 0)
            if limit > taken + returned:
                script_keys = [home.keys.waiting_for_permit(key), home.keys.concurrency_limits]
                returned += int(home.link.call("unblock", script_keys, [key, limit - taken - returned]))
        return returned

    def _forget_lost(self, key: str) -> int:
        """Free the permits of leases that are gone. Returns how many."""
        partition = self._partitions.of_key(key)
        holders = sorted(holder.decode() for holder in partition.link.command("SMEMBERS", partition.keys.permits(key)))
        lost: list[str] = []
        for name, some in groupby(holders, lambda holder: holder.partition("|")[0]):
            home = self._partitions.named(name)
            if home is not None:
                lost += _lost(home, list(some))
        return int(partition.link.command("SREM", partition.keys.permits(key), *lost)) if lost else 0

    def enqueue_blocked(self) -> int:
        """As Coordination's."""
        names = self._partitions.reached(lambda one: one.link.command("HKEYS", one.keys.concurrency_limits))
        returned = 0
        for key in sorted({name.decode() for some in names for name in some}):
            partition = self._partitions.of_key(key)
            returned += self._partitions.away.tried(partition, lambda key=key: self._enqueue(key)) or 0  # type: ignore[misc]
        return returned

    def _enqueue(self, key: str) -> int:
        self._forget_lost(key)
        return self._unblock(key)


def _holder(home: Partition, delivery: Delivery) -> str:
    return f"{home.name}|{delivery.tag}"


def _lost(home: Partition, holders: Collection[str]) -> list[str]:
    """The holders among these, in one partition, whose lease is gone."""
    looks = []
    for holder in holders:
        tag = holder.partition("|")[2]
        looks.append(("HEXISTS", home.keys.unacked, tag))
        looks.append(("HEXISTS", home.keys.early_acked(worker_of_tag(tag)), tag))
    found = home.link.pipeline(looks)
    return [
        holder for holder, leased, acked in zip(holders, found[::2], found[1::2], strict=True) if not (leased or acked)
    ]
