"""One partition: the keys that a script can change in one atomic step."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar
from zlib import crc32

from canvas.drivers.ports.admin import Admin
from canvas.drivers.ports.recovery import Recovery
from canvas.drivers.redis.bindings import Bindings
from canvas.drivers.redis.broker import RedisBroker
from canvas.drivers.redis.connection.client import RedisClient
from canvas.drivers.redis.coordination import RedisCoordination
from canvas.drivers.redis.keys import BrokerKeys
from canvas.drivers.redis.partitions.away import AwayPartitions
from canvas.drivers.redis.queue_wait import Home, QueueWait
from canvas.drivers.redis.schedules import RedisSchedules
from canvas.errors import OperationalError
from canvas.model.message import Publish

T = TypeVar("T")


class PartitionKeys(BrokerKeys):
    """The keys of a broker that is one of several."""

    @property
    def crossings(self) -> str:
        """list of messages and releases for other partitions, as ``Crossing`` packs them; an entry goes when the other
        partition has it."""
        return f"{self.prefix}canvas:crossings"

    def list_of(self, queue: str, priority: object) -> str:
        """As that of every broker; the list of crossings is addressed by its own key."""
        return queue if queue == self.crossings else super().list_of(queue, priority)

    def received(self, guard: str) -> str:
        """The token of the last crossing under this guard that was received; lives a week after it."""
        return f"{self.prefix}canvas:received:{guard}"

    def blocking(self, key: str) -> str:
        """set of the partitions in which messages wait for a permit of a concurrency key; lives a month."""
        return f"{self.prefix}canvas:concurrency:blocking:{key}"


class PartitionBroker(RedisBroker):
    """The broker of one partition. Its messages are addressed to a queue directly, or to the list of crossings."""

    keys: PartitionKeys
    keys_type = PartitionKeys
    retries_looks = False

    @property
    def home(self) -> Home:
        """Where its lists are."""
        return Home(self.link, self.keys)


@dataclass(frozen=True, eq=False, slots=True)
class Partition:
    """A broker of its own, with the other parts that share its keys."""

    name: str
    """Stable: entries of other partitions name it."""
    broker: PartitionBroker
    bindings: Bindings
    """Where its queues are bound to exchanges; several partitions may share them."""
    coordination: RedisCoordination
    admin: Admin
    recovery: Recovery
    schedules: RedisSchedules

    @classmethod
    def of(cls, name: str, broker: PartitionBroker, bindings: Bindings | None = None) -> "Partition":
        """The partition of a broker. ``bindings``: by default its own."""
        parts = broker.parts()
        coordination = RedisCoordination(broker.link, broker.keys, broker.packing, broker.guards)
        return cls(
            name,
            broker,
            bindings or broker.bindings,
            coordination,
            parts.admin,
            parts.recovery,
            RedisSchedules(broker, None),
        )

    @property
    def link(self) -> RedisClient:
        """Its connection."""
        return self.broker.link

    @property
    def keys(self) -> PartitionKeys:
        """Its keys."""
        return self.broker.keys


class Layout(Protocol):
    """Assigns queues and keys to partitions."""

    def of_queue(self, queue: str) -> int:
        """The number of the partition that has a queue. Raises ConfigurationError when none has."""

    def of_key(self, key: str) -> int:
        """The number of the partition of a key that belongs to no queue: a lock, a rate, a schedule."""


class HashedLayout:
    """Spreads queues and keys evenly."""

    def __init__(self, count: int) -> None:
        self._count = count

    def of_queue(self, queue: str) -> int:
        """See ``Layout``."""
        return crc32(queue.encode()) % self._count

    def of_key(self, key: str) -> int:
        """As Layout. Of an id with a dot the part before it counts: the chords of a run have ids that begin with the
        run's, and are in its partition."""
        return crc32(key.partition(".")[0].encode()) % self._count


class Partitions:
    """All partitions of a broker."""

    def __init__(self, every: Sequence[Partition], layout: Layout, waiting: QueueWait) -> None:
        self.every = tuple(every)
        self.waiting = waiting
        self._layout = layout
        self._by_name = {one.name: one for one in every}
        self._used: dict[Partition, None] = {}
        self.away: AwayPartitions[Partition] = AwayPartitions(waiting.interrupt)

    def of_queue(self, queue: str) -> Partition:
        """The partition that has a queue."""
        return self.every[self._layout.of_queue(queue)]

    def of_key(self, key: str) -> Partition:
        """The partition of a key that belongs to no queue."""
        return self.every[self._layout.of_key(key)]

    def named(self, name: str) -> Partition | None:
        """The partition of this name, if there is one."""
        return self._by_name.get(name)

    def by_queue(self, queues: Sequence[str]) -> dict[Partition, list[str]]:
        """The partitions of queues, in the order of their first queues."""
        found: dict[Partition, list[str]] = {}
        for queue in queues:
            found.setdefault(self.of_queue(queue), []).append(queue)
        return found

    def use(self, queues: Sequence[str]) -> dict[Partition, list[str]]:
        """``by_queue``, for queues that this process consumes from now on."""
        found = self.by_queue(queues)
        self._used.update(dict.fromkeys(found))
        return found

    @property
    def used(self) -> Sequence[Partition]:
        """The partitions whose queues this process has consumed; all partitions if it has consumed none."""
        return tuple(self._used) or self.every

    def reached(self, call: Callable[[Partition], T]) -> list[T]:
        """The answers of the partitions that are used, without those that are away. Raises OperationalError when all
        are."""
        found = (self.away.tried(one, lambda one=one: (call(one),)) for one in self.used)  # type: ignore[misc]
        answers = [answer[0] for answer in found if answer is not None]
        if not answers:
            raise self.absence()
        return answers

    def absence(self) -> OperationalError:
        """The error when all partitions that are used are away."""
        return self.away.error(self.used[0]) or OperationalError("a server was away, and is back: try again")

    def routed(self, message: Publish) -> list[tuple[Partition, Publish]]:
        """The copies of a message, each addressed to a queue directly, with the partitions that they go into."""
        if not message.exchange:
            return [(self.of_queue(message.routing_key), message)]
        if message.queue is not None:
            if message.queue.is_fanout(message.exchange):
                return [(self.every[0], message)]
            self.of_queue(message.queue.name).bindings.ensure(message.queue, message.exchange)
        bindings = dict.fromkeys(one.bindings for one in self.every)
        bound = [queue for one in bindings for queue in one.queues(message.exchange, message.routing_key)]
        if not bound:
            self.every[0].bindings.report(message)
        return [
            (self.of_queue(queue), Publish("", queue, message.priority, message.payload))
            for queue in dict.fromkeys(bound)
        ]
