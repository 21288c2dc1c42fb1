"""Workers that were recovered and may hold something again.

A request may have been on its way to the server when its process was killed, and may come after the recovery. A process
that gets no processor for long is taken for dead, and may take messages before it sends a heartbeat again. If it is
killed then, no other worker has it in its list of workers; so those that were recovered are looked at for some time.
"""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from canvas.drivers.redis.connection.client import RedisClient
from canvas.drivers.redis.keys import BrokerKeys

FIRST_LOOK = 2.0
"""Seconds after a recovery. Each further look is after twice the time since the recovery, up to ``_LONGEST``."""
_LONGEST = 600.0
LOOKED_FOR = 86_400
"""Seconds for which a worker is looked at."""
_AT_ONCE = 100


class Recovered(NamedTuple):
    """A worker that was recovered."""

    worker: str
    at: float
    """When, unix time by the server's clock."""
    lists: Sequence[str]
    """The lists that it consumed."""

    @property
    def entry(self) -> str:
        """As it stands in the sorted set."""
        return json.dumps(self)


class RecoveredWorkers:
    """The looks at them."""

    def __init__(self, link: RedisClient, keys: BrokerKeys) -> None:
        self._link = link
        self._keys = keys

    def any_due(self) -> bool:
        """Whether the look at one of them is due."""
        return bool(self._link.command("ZCOUNT", self._keys.recovered, "-inf", self._link.time()))

    def holding(self) -> list[Recovered]:
        """Of those whose look is due, the workers that hold something and send no heartbeats. The next look at the
        others is later; those that are registered again are looked at no more."""
        now, key = self._link.time(), self._keys.recovered
        entries = self._link.command("ZRANGE", key, "-inf", now, "BYSCORE", "LIMIT", 0, _AT_ONCE)
        found = []
        changes: list[Sequence[Any]] = []
        for entry in entries:
            one = Recovered(*json.loads(entry))
            registered, lives, held = self._link.pipeline(self._looks(one))
            if held and not (lives or registered):
                found.append(one)
            waited = now - one.at
            if registered or lives or held or waited > LOOKED_FOR:
                changes.append(("ZREM", key, entry))
            else:
                changes.append(("ZADD", key, "XX", now + min(max(waited, FIRST_LOOK), _LONGEST), entry))
        if changes:
            self._link.pipeline(changes)
        return found

    def _looks(self, one: Recovered) -> list[Sequence[Any]]:
        keys, worker = self._keys, one.worker
        inboxes = [keys.prefetched(worker, key) for key in one.lists]
        return [
            ("HEXISTS", keys.workers, worker), ("EXISTS", keys.heartbeat(worker)),
            ("EXISTS", keys.leases(worker), *inboxes),
        ]  # fmt: skip
