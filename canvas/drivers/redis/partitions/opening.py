"""The parts of a broker over partitions."""

from collections.abc import Sequence

from canvas.drivers.ports import BrokerParts
from canvas.drivers.ports.capabilities import BROKER_OF_ALL
from canvas.drivers.redis.bus import RedisBus
from canvas.drivers.redis.partitions.admin import PartitionedAdmin
from canvas.drivers.redis.partitions.broker import PartitionedBroker
from canvas.drivers.redis.partitions.coordination import PartitionedCoordination
from canvas.drivers.redis.partitions.crossings import Crossings
from canvas.drivers.redis.partitions.partition import Layout, Partition, Partitions
from canvas.drivers.redis.partitions.permits import SharedPermits
from canvas.drivers.redis.partitions.recovery import PartitionedRecovery
from canvas.drivers.redis.partitions.schedules import PartitionedSchedules
from canvas.drivers.redis.queue_wait import QueueWait


def broker_parts(every: Sequence[Partition], layout: Layout, waiting: QueueWait) -> BrokerParts:
    """One broker of many. Broadcasts and replies to them go over the first partition."""
    partitions, first = Partitions(every, layout, waiting), every[0]
    crossings, permits = Crossings(partitions), SharedPermits(partitions)
    broker = PartitionedBroker(partitions, crossings, permits)
    return BrokerParts(
        broker,
        RedisBus(first.link, first.keys, first.bindings),
        PartitionedAdmin(partitions),
        PartitionedCoordination(partitions, broker, crossings, permits),
        PartitionedRecovery(partitions, crossings),
        BROKER_OF_ALL,
        PartitionedSchedules(partitions, broker, crossings),
    )
