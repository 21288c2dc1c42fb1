"""Queues that are spread over partitions, each with the leases on its messages."""

from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import NamedTuple

from canvas.drivers.kombu_envelope import ENVELOPE
from canvas.drivers.ports.broker import OneServerAway
from canvas.drivers.ports.codec import MessageCodec
from canvas.drivers.ports.values import Lease, LeaseReply
from canvas.drivers.redis.partitions.crossings import Crossing, Crossings, Effects
from canvas.drivers.redis.partitions.partition import Partition, Partitions
from canvas.drivers.redis.partitions.permits import SharedPermits
from canvas.drivers.retry_policy import Delays
from canvas.errors import OperationalError, RefusedError
from canvas.model.message import Delivery, Publish
from canvas.model.queue import Queue
from canvas.model.settlement import DelayedPublish, Settlement, SettleResult, UniqueLock

_WAITS_FOR = 1.0
"""Seconds for which a wait lasts at most while a partition is away."""
_UNSETTLED = SettleResult(False, [], unsettled=True)


class Split(NamedTuple):
    """A settlement as its own partition commits it, and its effects on others."""

    settlement: Settlement
    crossings: list[Crossing]


class PartitionedBroker:
    """The StepBroker of ``canvas.drivers.ports``."""

    codec: MessageCodec = ENVELOPE
    shares_waits = True

    def __init__(self, partitions: Partitions, crossings: Crossings, permits: SharedPermits) -> None:
        self.round_robin = partitions.every[0].broker.round_robin
        self._partitions = partitions
        self._crossings = crossings
        self._permits = permits
        self._versions: dict[Partition, int] = {}
        """The version of the revocations that each partition has reported last."""
        self._unreleased: dict[Partition, deque[list[Delivery]]] = {}
        """Messages to release in partitions that are away, as they were given."""
        self._away = partitions.away
        self._came_back = False
        """Whether a partition was away since the last settlement: it may have lost the ends of some leases."""
        self._away.after_return = self._returned

    def declare(self, queues: Sequence[Queue]) -> None:
        by_name = {queue.filled().name: queue for queue in queues}
        for partition, names in self._partitions.by_queue(list(by_name)).items():
            partition.bindings.declare([by_name[name] for name in names])

    def publish(self, messages: Sequence[Publish], delays: Delays = None) -> None:
        for partition, some in self._routed(messages).items():
            partition.broker.publish(some, delays)

    async def apublish(self, messages: Sequence[Publish], delays: Delays = None) -> None:
        routed = self._routed(messages)
        if len(routed) == 1:
            for partition, some in routed.items():
                await partition.broker.apublish(some, delays)
        elif routed:
            import asyncio  # imported late, and in a thread, as in a partition's own apublish()

            await asyncio.to_thread(self.publish, messages, delays)

    def _routed(self, messages: Iterable[Publish]) -> dict[Partition, list[Publish]]:
        found: dict[Partition, list[Publish]] = {}
        for message in messages:
            for partition, copy in self._partitions.routed(message):
                found.setdefault(partition, []).append(copy)
        return found

    def check(self) -> None:
        for partition in self._partitions.every:
            partition.broker.check()

    def lease(self, request: Lease) -> list[Delivery]:
        return list(self.settle([], request)[1].deliveries)

    def wait(self, worker: str, queues: Sequence[str], timeout: float) -> int:
        lists = {
            key: partition.broker.home
            for partition, some in self._partitions.use(queues).items()
            if partition not in self._away
            for key in partition.broker.lists_in_turn(some)
        }
        seconds = min(timeout, _WAITS_FOR) if self._away else timeout
        try:
            return self._partitions.waiting.wait(worker, lists, seconds)
        except OperationalError:
            if not any([self._away.answers(one) for one in self._partitions.by_queue(queues)]):
                raise
            return 1

    def wake(self) -> None:
        self._partitions.waiting.interrupt()

    def stop_waiting(self, worker: str) -> None:
        self._partitions.waiting.end(worker)

    def release_prefetched(self, worker: str) -> int:
        return self._partitions.waiting.release_prefetched(worker)

    def release(self, deliveries: Sequence[Delivery]) -> int:
        by_partition: dict[Partition, list[Delivery]] = {}
        for delivery in deliveries:
            by_partition.setdefault(self._partitions.of_queue(delivery.queue), []).append(delivery)
        for partition, some in by_partition.items():
            self._unreleased.setdefault(partition, deque()).append(some)
        return sum(map(self._release_in, by_partition))

    def _returned(self, partition: Partition) -> None:
        self._came_back = True
        self._release_in(partition)

    def _release_in(self, partition: Partition) -> int:
        """Release messages that the worker does not hold any more. Where the partition is away, that is done when it is
        back."""
        total, left = 0, self._unreleased.get(partition, deque())
        for some in list(left):
            released = self._away.tried(partition, lambda some=some: partition.broker.release(some))  # type: ignore[misc]
            if released is None:
                break
            total += released
            with suppress(ValueError):  # another thread has released the same ones
                left.remove(some)
        return total

    def enqueue_due(self, limit: int) -> int:
        return sum(one for one in self._partitions.reached(lambda one: one.broker.enqueue_due(limit)))

    def next_due(self) -> float | None:
        moments = self._partitions.reached(lambda one: one.broker.next_due())
        return min((due for due in moments if due is not None), default=None)

    def close(self) -> None:
        self._away.close()
        self._partitions.waiting.close()
        for partition in self._partitions.every:
            partition.link.close()

    def note_version(self, partition: Partition, version: int) -> None:
        """Note the version of the revocations that a partition has reported."""
        self._versions[partition] = version

    @property
    def version(self) -> int:
        """A number that changes when a partition that is used has new revocations."""
        return sum(self._versions.get(partition, 0) for partition in self._partitions.used)

    def fences(self, settlements: Sequence[Settlement]) -> Sequence[bool | None]:
        holds: list[bool | None] = [None] * len(settlements)
        for partition, places in self._by_home(settlements).items():
            mine = [settlements[place] for place in places]
            found = self._away.tried(partition, lambda one=partition, some=mine: one.broker.fences(some))  # type: ignore[misc]
            for place, held in zip(places, found or (), strict=found is not None):
                holds[place] = held
        return holds

    def _by_home(self, settlements: Sequence[Settlement]) -> dict[Partition, list[int]]:
        """By partition, the places of the settlements that it commits."""
        found: dict[Partition, list[int]] = {}
        for place, settlement in enumerate(settlements):
            found.setdefault(self.home_of(settlement), []).append(place)
        return found

    def home_of(self, settlement: Settlement) -> Partition:
        """The partition that commits a settlement: that of its delivery, or of its first message."""
        if settlement.delivery is not None:
            return self._partitions.of_queue(settlement.delivery.queue)
        messages = [*settlement.publishes, *(deferral.publish for deferral in settlement.deferrals)]
        routed = (partition for message in messages for partition, _ in self._partitions.routed(message))
        return next(routed, self._partitions.every[0])

    def split(self, settlement: Settlement, home: Partition) -> Split:
        """Divide a settlement between its home and the partitions that its messages and locks are in.

        Raises RefusedError for messages that cannot be written.
        """
        s = settlement
        if not (s.publishes or s.deferrals or s.releases_locks or s.releases_permits):
            return Split(s, [])
        effects = self.effects(s.publishes, s.deferrals, s.releases_locks)
        own = effects.pop(home, Effects())
        crossings = [self._crossings.write(home, target, one) for target, one in effects.items()]
        publishes = [*own.publishes, *(crossing.message for crossing in crossings)]
        kept = s._replace(
            publishes=publishes, deferrals=own.deferrals, releases_locks=own.locks, releases_permits=()
        )  # fmt: skip
        return Split(kept, crossings)

    def effects(
        self, publishes: Iterable[Publish], deferrals: Iterable[DelayedPublish] = (), locks: Iterable[UniqueLock] = ()
    ) -> dict[Partition, Effects]:
        """The changes that messages and releases of locks make, by partition."""
        messages: dict[Partition, list[Publish]] = self._routed(publishes)
        later: dict[Partition, list[DelayedPublish]] = {}
        for deferral in deferrals:
            for partition, copy in self._partitions.routed(deferral.publish):
                later.setdefault(partition, []).append(deferral._replace(publish=copy))
        freed: dict[Partition, list[UniqueLock]] = {}
        for lock in locks:
            freed.setdefault(self._partitions.of_key(lock.key), []).append(lock)
        return {
            one: Effects(messages.get(one, ()), later.get(one, ()), freed.get(one, ()))
            for one in dict.fromkeys([*messages, *later, *freed])
        }

    def settle(self, settlements: Sequence[Settlement], lease: Lease | None) -> tuple[list[SettleResult], LeaseReply]:
        homes = self._by_home(settlements)
        queues = self._partitions.use(lease.queues) if lease is not None else {}
        verdicts: dict[int, SettleResult] = {}
        deliveries: list[Delivery] = []
        offset, left = 0.0, lease.limit if lease is not None else 0
        for partition in dict.fromkeys([*queues, *homes]):
            places, names = homes.get(partition, []), queues.get(partition, [])
            part = lease._replace(queues=tuple(names), limit=left) if lease is not None and names and left > 0 else None
            if not places and part is None:
                continue
            done = self._settled_in(partition, [settlements[place] for place in places], part)
            if done is None:
                verdicts |= dict.fromkeys(places, _UNSETTLED)
                continue
            found, leased = done
            verdicts |= zip(places, found, strict=True)
            deliveries += leased.deliveries
            left, offset = left - len(leased.deliveries), leased.clock_offset or offset
            self.note_version(partition, leased.revocations_version)
        used = self._partitions.used
        if all(one in self._away for one in used):
            raise self._partitions.absence()
        came_back, self._came_back = self._came_back, False
        partial = came_back or any(one in self._away for one in used)
        partial = partial or any(verdict.unsettled for verdict in verdicts.values())
        reply = LeaseReply(deliveries, self.version, offset, partial=partial)
        return [verdicts[place] for place in range(len(settlements))], reply

    def _settled_in(
        self, partition: Partition, settlements: Sequence[Settlement], lease: Lease | None
    ) -> tuple[list[SettleResult], LeaseReply] | None:
        """The verdicts of one partition, and the messages leased in it; ``None`` where it is away."""
        if partition in self._away:
            return None
        verdicts: dict[int, SettleResult] = {}
        splits: dict[int, Split] = {}
        for place, settlement in enumerate(settlements):
            try:
                splits[place] = self.split(settlement, partition)
            except RefusedError as exc:
                verdicts[place] = SettleResult(False, [], str(exc))
            except OperationalError:
                verdicts[place] = _UNSETTLED  # the partition of one of its messages is away
        mine = [one.settlement for one in splits.values()]
        done = self._away.tried(partition, lambda: partition.broker.settle(mine, lease))
        if done is None:
            return None
        verdicts |= zip(splits, done[0], strict=True)
        for place, split in splits.items():
            self._conclude(settlements[place], split, verdicts[place])
        return [verdicts[place] for place in range(len(settlements))], done[1]

    def _conclude(self, settlement: Settlement, split: Split, verdict: SettleResult) -> None:
        """Apply the effects of a settlement on other partitions, if it is committed."""
        if not verdict.held:
            self._crossings.dropped(split.crossings)
            return
        self._crossings.bring(split.crossings)
        if settlement.releases_permits and settlement.delivery is not None:
            # Where this fails, the permits become free because their lease is gone: enqueue_blocked finds that.
            with suppress(OperationalError):
                self._permits.release(settlement.releases_permits, settlement.delivery)

    def publish_once(self, guard: str, publishes: Sequence[Publish], deferrals: Sequence[DelayedPublish]) -> bool:
        home = self._partitions.of_key(guard)
        if home in self._away and any(one not in self._away for one in self._partitions.used):
            raise OneServerAway(str(self._away.error(home)))
        split = self.split(Settlement(None, publishes=publishes, deferrals=deferrals), home)
        try:
            sent = home.broker.publish_once(guard, split.settlement.publishes, split.settlement.deferrals)
        except OperationalError as exc:
            self._away.note(home, exc)
            raise
        # Where nothing is sent, a first try may have appended the crossings, and a sweep brings them: their guards are
        # not used again.
        if sent:
            self._crossings.bring(split.crossings)
        return sent
