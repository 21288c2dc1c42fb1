"""Brokers and result stores in a Redis Cluster."""

from collections.abc import Mapping
from typing import Any

from canvas.drivers.ports import BrokerParts, StoreParts
from canvas.drivers.ports.capabilities import STORE_OF_ALL
from canvas.drivers.redis.cluster.slot_client import SlotClient
from canvas.drivers.redis.cluster.slots import slot_of, spread_tags
from canvas.drivers.redis.cluster.topology import Cluster
from canvas.drivers.redis.cluster.url import parse_cluster
from canvas.drivers.redis.partitions.opening import broker_parts
from canvas.drivers.redis.partitions.partition import HashedLayout, Partition, PartitionBroker
from canvas.drivers.redis.partitions.results import PartitionedResults
from canvas.drivers.redis.queue_wait import QueueWait
from canvas.drivers.redis.results.store import RedisResults
from canvas.errors import ConfigurationError

PARTITIONS = 32
"""How many slots canvas uses of a cluster, evenly spread."""


def open_broker(url: str, options: Mapping[str, Any]) -> BrokerParts:
    """A broker in the cluster of a URL. Raises ConfigurationError for an invalid URL; connects at first use."""
    waiting, numbers = QueueWait(), dict[str, int]()
    every: list[Partition] = []
    for tag, link, own in _slots(url, options):
        broker = PartitionBroker(link, {**options, "global_keyprefix": own}, waiting, numbers)
        # Queues are few: all of them are bound to exchanges in one place.
        every.append(Partition.of(tag, broker, every[0].bindings if every else None))
    return broker_parts(every, HashedLayout(len(every)), waiting)


def open_results(url: str, options: Mapping[str, Any]) -> StoreParts:
    """A result store in the cluster of a URL, with chords and runs."""
    every = [RedisResults(link, {**options, "global_keyprefix": own}) for _, link, own in _slots(url, options)]
    results = PartitionedResults(every)
    return StoreParts(results, results, results, STORE_OF_ALL)


def _slots(url: str, options: Mapping[str, Any]) -> list[tuple[str, SlotClient, str]]:
    """The hash tags that are used, each with a client for its slot and the prefix of its keys."""
    cluster = Cluster(parse_cluster(url, options))
    prefix = str(options.get("global_keyprefix") or "")
    if "{" in prefix or "}" in prefix:
        raise ConfigurationError(
            f"global_keyprefix {prefix!r:.50}: in a Redis Cluster braces name the slot, and canvas puts its own behind "
            "the prefix; leave them out"
        )
    found = []
    for tag in spread_tags(PARTITIONS):
        own = f"{prefix}{{{tag}}}:"
        found.append((tag, SlotClient(cluster, slot_of(tag), f"{own}canvas:anchor"), own))
    return found
