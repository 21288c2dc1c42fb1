"""Queues spread over several Redis servers, by the rules of ``broker_shards``."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from canvas.drivers.ports import BrokerParts
from canvas.drivers.redis.connection.client import RedisClient
from canvas.drivers.redis.partitions.opening import broker_parts
from canvas.drivers.redis.partitions.partition import Partition, PartitionBroker
from canvas.drivers.redis.queue_wait import QueueWait
from canvas.drivers.redis.url import Address, parse
from canvas.errors import ConfigurationError
from canvas.masking import masked_url

_EVERY = "*"
_ANSWERS_WITHIN = 5.0
"""Seconds within which a server answers a call, unless ``socket_timeout`` says otherwise: a server that is silent keeps
the others waiting for this time, once."""


class Shard(NamedTuple):
    """One server, and the patterns of the queues that it has."""

    url: str
    address: Address
    patterns: Sequence[str]

    @property
    def shown(self) -> str:
        """Its URL without its password."""
        return masked_url(self.url)


class ShardLayout:
    """The Layout of servers: the first pattern that matches a queue decides where the queue is."""

    def __init__(self, shards: Sequence[Shard]) -> None:
        self._shards = shards
        self._known: dict[str, int] = {}

    def of_queue(self, queue: str) -> int:
        """See ``Layout``."""
        found = self._known.get(queue)
        if found is None:
            found = self._known[queue] = self._matching(queue)
        return found

    def _matching(self, queue: str) -> int:
        for number, shard in enumerate(self._shards):
            if any(fnmatchcase(queue, pattern) for pattern in shard.patterns):
                return number
        rules = "; ".join(f"{shard.shown}: {', '.join(shard.patterns)}" for shard in self._shards)
        raise ConfigurationError(
            f"queue {queue!r:.100}: no rule of broker_shards matches it ({rules}): add its name, or '*', to the "
            "patterns of a server"
        )

    def of_key(self, key: str) -> int:
        """See ``Layout``. The first server has all keys that belong to no queue."""
        return 0


def open_broker(shards: Mapping[str, Sequence[str]], options: Mapping[str, Any]) -> BrokerParts:
    """A broker over servers, by the patterns of their queues. Raises ConfigurationError for contradictory rules;
    connects at first use."""
    options = {"socket_timeout": _ANSWERS_WITHIN, **options}
    found = [Shard(url, parse(url, options), _patterns(url, patterns)) for url, patterns in shards.items()]
    _check(found)
    waiting, numbers = QueueWait(), dict[str, int]()
    every = []
    for shard in found:
        link = RedisClient(shard.address, f"{', '.join(shard.patterns)} of broker_shards")
        every.append(Partition.of(_name(shard.address), PartitionBroker(link, options, waiting, numbers)))
    return broker_parts(every, ShardLayout(found), waiting)


def _name(address: Address) -> str:
    """The name of a partition: its server, without a login."""
    return "/".join(map(str, (*address.server(), address.db)))


def _patterns(url: str, patterns: Any) -> Sequence[str]:
    given = patterns if isinstance(patterns, list | tuple) else ()
    if not given or not all(isinstance(one, str) and one for one in given):
        raise ConfigurationError(
            f"broker_shards: {masked_url(url)}: expected a list of names or patterns of queues, such as ['email*']; "
            f"got {patterns!r:.100}"
        )
    return given


def _check(shards: Sequence[Shard]) -> None:
    if not shards:
        raise ConfigurationError(
            "broker_shards: expected servers with their queues, {'redis://…': ['email*'], …}; got {}"
        )
    servers: dict[Any, Shard] = {}
    taken: dict[str, Shard] = {}
    for shard in shards:
        other = servers.setdefault(shard.address.server(), shard)
        if other is not shard:
            raise ConfigurationError(
                f"broker_shards: {other.shown} and {shard.shown} are one server: give it once, with the patterns of "
                "both"
            )
        for pattern in shard.patterns:
            first = taken.get(_EVERY) or taken.get(pattern)
            if first is not None:
                why = "all queues are" if _EVERY in taken else "the same pattern is"
                raise ConfigurationError(
                    f"broker_shards: {pattern!r:.100} of {shard.shown} matches no queue, because {why} at "
                    f"{first.shown} before it: put the server with '*' last, and each pattern at one server"
                )
        taken |= dict.fromkeys(shard.patterns, shard)
