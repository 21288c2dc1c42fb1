"""Workers that were recovered and may hold something again.

A request may have been on its way to the server when its process was killed, and may arrive after the recovery. A
process that gets no processor for long is taken for dead, and may take messages before it sends a heartbeat again. If
it is then killed, it is not registered any more; so workers that were recovered are checked for some time.
"""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from canvas.drivers.redis.connection.client import RedisClient
from canvas.drivers.redis.keys import BrokerKeys

FIRST_LOOK = 2.0
"""Seconds from a recovery to the first check. Each further check is after twice the time since the recovery, at most
``_LONGEST`` seconds after the one before."""
_LONGEST = 600.0
LOOKED_FOR = 86_400
"""Seconds for which a worker is checked."""
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
        """Its entry in the sorted set."""
        return json.dumps(self)


class RecoveredWorkers:
    """Finds recovered workers that hold something again."""

    def __init__(self, link: RedisClient, keys: BrokerKeys) -> None:
        self._link = link
        self._keys = keys

    def any_due(self) -> bool:
        """Whether the check of one of them is due."""
        return bool(self._link.command("ZCOUNT", self._keys.recovered, "-inf", self._link.time()))

    def holding(self) -> list[Recovered]:
        """Of the workers whose check is due, those that hold something and send no heartbeats. Workers that are
        registered or send heartbeats again are checked no more, the others later."""
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
