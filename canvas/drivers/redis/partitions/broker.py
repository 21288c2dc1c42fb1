"""Queues that are spread over partitions, each with the leases on its messages."""

import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import NamedTuple

from canvas.drivers.kombu_envelope import ENVELOPE
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

_TRIED_EVERY = 1.0
"""Seconds between two attempts to lease from a partition that is unreachable, while others answer."""


class Split(NamedTuple):
    """A settlement as its own partition commits it, and its effects on others."""

    settlement: Settlement
    crossings: list[Crossing]


class PartitionedBroker:
    """The StepBroker of ``canvas.drivers.ports``."""

    codec: MessageCodec = ENVELOPE
    shares_waits = True

    def __init__(self, partitions: Partitions, crossings: Crossings, permits: SharedPermits) -> None:
        self.takes_turns = partitions.every[0].broker.takes_turns
        self._partitions = partitions
        self._crossings = crossings
        self._permits = permits
        self._versions: dict[Partition, int] = {}
        """Of the revocations, as each partition has last said it."""
        self._committed: dict[str, SettleResult] = {}
        """By tag, verdicts on settlements that were committed in a call which has failed in another partition."""
        self._away: dict[Partition, tuple[float, OperationalError]] = {}
        """The partitions that did not answer, by when to lease from them again."""

    # -- sending

    def declare(self, queues: Sequence[Queue]) -> None:
        by_name = {queue.filled().name: queue for queue in queues}
        for partition, names in self._partitions.by_queue(list(by_name)).items():
            partition.bindings.declare([by_name[name] for name in names])

    def publish(self, messages: Sequence[Publish], delays: Delays = None) -> None:
        for partition, some in self._routed(messages).items():
            partition.broker.publish(some, delays)

    async def apublish(self, messages: Sequence[Publish], delays: Delays = None) -> None:
        for partition, some in self._routed(messages).items():
            await partition.broker.apublish(some, delays)

    def _routed(self, messages: Iterable[Publish]) -> dict[Partition, list[Publish]]:
        found: dict[Partition, list[Publish]] = {}
        for message in messages:
            for partition, copy in self._partitions.routed(message):
                found.setdefault(partition, []).append(copy)
        return found

    # -- leasing

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
        # The next lease finds out whether the others are back.
        patience = min(timeout, _TRIED_EVERY) if self._away else timeout
        try:
            return self._partitions.waiting.wait(worker, lists, patience)
        except OperationalError:
            if not self._some_answer(self._partitions.by_queue(queues)):
                raise
            return 1

    def _some_answer(self, partitions: Iterable[Partition]) -> bool:
        """Whether any of these partitions answers; the others are noted as away."""
        answered = False
        for partition in partitions:
            try:
                partition.link.command("PING", patient=False)
                answered = True
            except OperationalError as exc:
                self._away[partition] = time.monotonic() + _TRIED_EVERY, exc
        return answered

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
        return sum(partition.broker.release(some) for partition, some in by_partition.items())

    def enqueue_due(self, limit: int) -> int:
        return sum(partition.broker.enqueue_due(limit) for partition in self._partitions.used)

    def next_due(self) -> float | None:
        dues = [partition.broker.next_due() for partition in self._partitions.used]
        return min((due for due in dues if due is not None), default=None)

    def close(self) -> None:
        self._partitions.waiting.close()
        for partition in self._partitions.every:
            partition.link.close()

    # -- revocations

    def note_version(self, partition: Partition, version: int) -> None:
        """A partition has said the version of its revocations."""
        self._versions[partition] = version

    @property
    def version(self) -> int:
        """Another number than before where a partition that is used has new revocations."""
        return sum(self._versions.get(partition, 0) for partition in self._partitions.used)

    # -- stepwise

    def fences(self, settlements: Sequence[Settlement]) -> list[bool]:
        holds = [True] * len(settlements)
        for partition, places in self._by_home(settlements).items():
            found = partition.broker.fences([settlements[place] for place in places])
            for place, held in zip(places, found, strict=True):
                holds[place] = held or _tag(settlements[place]) in self._committed
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
        """By partition, what messages and releases change in it."""
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
        offset, left, answered = 0.0, lease.limit if lease is not None else 0, False
        away: OperationalError | None = None
        for partition in dict.fromkeys([*queues, *homes]):
            places, names = homes.get(partition, []), queues.get(partition, [])
            part = lease._replace(queues=tuple(names), limit=left) if lease is not None and names and left > 0 else None
            skipped = self._away.get(partition, (0.0, None))
            if not places and (part is None or time.monotonic() < skipped[0]):
                away = away or (skipped[1] if part is not None else None)
                continue
            try:
                found, leased = self._settle_in(partition, [settlements[place] for place in places], part)
            except OperationalError as exc:
                self._away[partition] = time.monotonic() + _TRIED_EVERY, exc
                away = exc
                continue
            self._away.pop(partition, None)
            answered = True
            verdicts |= zip(places, found, strict=True)
            deliveries += leased.deliveries
            left, offset = left - len(leased.deliveries), leased.clock_offset or offset
            self.note_version(partition, leased.revocations_version)
        if away is not None and (len(verdicts) < len(settlements) or not answered):
            self._remember(settlements, verdicts)
            raise away
        return [verdicts[place] for place in range(len(settlements))], LeaseReply(deliveries, self.version, offset)

    def _remember(self, settlements: Sequence[Settlement], verdicts: dict[int, SettleResult]) -> None:
        """The whole call is to be repeated: keep the verdicts on what is committed."""
        for place, verdict in verdicts.items():
            tag = _tag(settlements[place])
            if tag and verdict.held:
                self._committed[tag] = verdict

    def _settle_in(
        self, partition: Partition, settlements: Sequence[Settlement], lease: Lease | None
    ) -> tuple[list[SettleResult], LeaseReply]:
        """The verdicts of one partition, and what is leased in it."""
        verdicts: dict[int, SettleResult] = {}
        splits: dict[int, Split] = {}
        for place, settlement in enumerate(settlements):
            committed = self._committed.pop(_tag(settlement), None)
            if committed is not None:
                verdicts[place] = committed
                continue
            try:
                splits[place] = self.split(settlement, partition)
            except RefusedError as exc:
                verdicts[place] = SettleResult(False, [], str(exc))
        found, leased = partition.broker.settle([one.settlement for one in splits.values()], lease)
        verdicts |= zip(splits, found, strict=True)
        for place, split in splits.items():
            self._conclude(settlements[place], split, verdicts[place])
        return [verdicts[place] for place in range(len(settlements))], leased

    def _conclude(self, settlement: Settlement, split: Split, verdict: SettleResult) -> None:
        """Do in other partitions what a settlement does there, if it is committed."""
        if not verdict.held:
            self._crossings.dropped(split.crossings)
            return
        self._crossings.bring(split.crossings)
        if settlement.releases_permits and settlement.delivery is not None:
            # Where this fails, the places are free because their lease is gone: enqueue_blocked finds that.
            with suppress(OperationalError):
                self._permits.release(settlement.releases_permits, settlement.delivery)

    def publish_once(self, guard: str, publishes: Sequence[Publish], deferrals: Sequence[DelayedPublish]) -> bool:
        home = self._partitions.of_key(guard)
        split = self.split(Settlement(None, publishes=publishes, deferrals=deferrals), home)
        sent = home.broker.publish_once(guard, split.settlement.publishes, split.settlement.deferrals)
        if sent:
            self._crossings.bring(split.crossings)
        else:
            self._crossings.dropped(split.crossings)
        return sent


def _tag(settlement: Settlement) -> str:
    return settlement.delivery.tag if settlement.delivery is not None else ""
