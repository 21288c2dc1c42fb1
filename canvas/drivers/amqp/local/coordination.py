"""Revocations and rates of one worker node, in memory, as Celery's workers have them."""

import time
from collections.abc import Sequence
from typing import Any

from canvas.drivers.amqp.local.shared_value import SharedDict
from canvas.drivers.ports.capabilities import missing
from canvas.drivers.retry_policy import Delays
from canvas.forks import in_forks
from canvas.model.message import Delivery, Publish
from canvas.model.settlement import UniqueLock

_VERSION = ""
"""The key of the version, among revocations: a number."""


class LocalCoordination:
    """The Coordination of ``canvas.drivers.ports``, without permits and locks, which all workers would have to
    share."""

    def __init__(self) -> None:
        self._revoked = SharedDict()
        self._rate_slots = SharedDict()
        self.version = 0
        """Of the revocations that this process has read."""
        in_forks(self._disinherit)

    def _disinherit(self) -> None:
        self._revoked.disinherit()
        self._rate_slots.disinherit()

    def revoke(self, entries: Sequence[str], seconds: float) -> None:
        now = time.time()

        def add(found: dict[str, Any]) -> None:
            known = {entry for entry, until in found.items() if until > now}
            version = found.get(_VERSION, 0) + (not set(entries) <= known)
            found.update(dict.fromkeys(entries, now + seconds))
            found[_VERSION] = version

        self._revoked.change(add)
        self.revoked()

    def revoked(self) -> tuple[int, list[str]]:
        found, now = self._revoked.read(), time.time()
        self.version = int(found.pop(_VERSION, 0))
        return self.version, [entry for entry, until in found.items() if until > now]

    def reserve_rate_slot(self, key: str, interval: float) -> float:
        def take(found: dict[str, Any]) -> float:
            now = time.time()
            at = max(found.get(key, 0.0), now)
            found[key] = at + interval
            return at if at > now else 0.0

        return self._rate_slots.change(take)

    def acquire_permit(self, key: str, limit: int, delivery: Delivery) -> bool:
        raise missing("coordination", "concurrency_limit")

    def enqueue_blocked(self) -> int:
        return 0

    def publish_unique(self, message: Publish, lock: UniqueLock, seconds: float, delays: Delays = None) -> str | None:
        raise missing("coordination", "unique_for")

    def release_lock(self, lock: UniqueLock) -> None:
        """There are none."""
