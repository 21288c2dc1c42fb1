"""The state that workers share through Redis: revocations, rates, concurrency permits, the locks of unique tasks."""

from collections.abc import Sequence

from canvas.drivers.redis.connection.client import RedisClient
from canvas.drivers.redis.idempotent_calls import IdempotentCalls
from canvas.drivers.redis.keys import BrokerKeys
from canvas.drivers.redis.scripts.arguments import ScriptArguments
from canvas.drivers.redis.scripts.replies import text
from canvas.drivers.retry_policy import Delays
from canvas.drivers.tags import worker_of_tag
from canvas.model.message import Delivery, Publish
from canvas.model.settlement import UniqueLock


class RedisCoordination:
    """The Coordination of ``canvas.drivers.ports``."""

    def __init__(
        self,
        link: RedisClient,
        keys: BrokerKeys,
        packing: ScriptArguments,
        guards: IdempotentCalls,
    ) -> None:
        self._link = link
        self._keys = keys
        self._packing = packing
        self._guards = guards

    def revoke(self, entries: Sequence[str], seconds: float) -> None:
        if entries:
            self._link.call("revoke", [self._keys.revoked, self._keys.revoked_version], [seconds, *entries])

    def revoked(self) -> tuple[int, list[str]]:
        keys = self._keys
        commands = [
            ("ZREMRANGEBYSCORE", keys.revoked, "-inf", self._link.time()),
            ("GET", keys.revoked_version),
            ("ZRANGE", keys.revoked, 0, -1),
        ]
        _, version, entries = self._link.pipeline(commands, transaction=True)
        return int(version or 0), [entry.decode() for entry in entries]

    def reserve_rate_slot(self, key: str, interval: float) -> float:
        return float(self._link.call("reserve_rate_slot", [self._keys.rate_limit(key)], [repr(interval)]))

    def acquire_permit(self, key: str, limit: int, delivery: Delivery) -> bool:
        keys, home = self._keys, self._packing.list_of(delivery.queue, delivery.payload)
        permits = [keys.permits(key), keys.waiting_for_permit(key), keys.concurrency_limits]
        leases = [keys.unacked, keys.unacked_index, keys.leases(worker_of_tag(delivery.tag))]
        arguments = [delivery.tag, limit, key, home, delivery.payload, keys.early_acked_prefix]
        return int(self._link.call("acquire_permit", [*permits, *leases], arguments)) == 1

    def enqueue_blocked(self) -> int:
        keys, total = self._keys, 0
        for key in [name.decode() for name in self._link.command("HKEYS", keys.concurrency_limits)]:
            script_keys = [keys.permits(key), keys.waiting_for_permit(key), keys.concurrency_limits, keys.unacked]
            total += int(self._link.call("enqueue_blocked", script_keys, [key, keys.early_acked_prefix]))
        return total

    def publish_unique(self, message: Publish, lock: UniqueLock, seconds: float, delays: Delays = None) -> str | None:
        return self.publish_unique_of([message], lock, seconds, delays)

    def publish_unique_of(
        self, messages: Sequence[Publish], lock: UniqueLock, seconds: float, delays: Delays = None
    ) -> str | None:
        """``publish_unique`` for a message that may have copies."""
        pushes = [(key, message.payload) for message in messages for key in self._packing.lists_of(message)]
        keys = [self._keys.unique(lock.key), *(key for key, _ in pushes)]
        arguments = [lock.owner, max(1, int(seconds * 1000)), *(payload for _, payload in pushes)]
        owner = self._guards.call("publish_unique", keys, arguments, delays)
        return None if owner is None else text(owner)

    def release_lock(self, lock: UniqueLock) -> None:
        self._link.call("release_lock", [self._keys.unique(lock.key)], [lock.owner])
