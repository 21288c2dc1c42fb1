"""How much a process leases ahead, and from which queues."""

import threading
from typing import NamedTuple


class PrefetchPolicy(NamedTuple):
    """How much a process takes at once."""

    slots: int
    batch: int
    """Settlements in one call, at most."""
    seconds: float
    """How many seconds of work to hold beyond the running tasks."""
    limit: int
    """Messages held beyond the running tasks, at most."""

    def ahead(self, task: float, message: float) -> int:
        """How many messages to hold beyond the running tasks, where one takes ``task`` seconds in its slot and
        ``message`` seconds of the process (0: not known yet). The latter do not bring it below a batch, or one message
        for each slot."""
        if task <= 0:
            return min(self.limit, self.slots)
        slots, process = self.seconds * self.slots / task, self.seconds / message if message > 0 else 0.0
        return min(self.limit, int(min(slots, max(self.slots, self.batch, process))))


class Throughput:
    """How long a busy process takes for each message: its tasks, its calls of the broker, and whatever else it does."""

    def __init__(self) -> None:
        self.per_message = 0.0
        """Seconds, an average of the latest rounds; 0 before the first."""
        self._busy_since: float | None = None

    def round_ended(self, now: float, settled: int, more: bool) -> None:
        """A round has settled so many messages; whether the process has more of them to run."""
        if self._busy_since is not None and settled:
            each = (now - self._busy_since) / settled
            self.per_message += (each - self.per_message) * (0.2 if self.per_message else 1.0)
        if settled or self._busy_since is None or not more:
            self._busy_since = now if more else None


class QueueChange:
    """Other queues to lease from."""

    def __init__(self, queues: list[str]) -> None:
        self.queues = queues
        self.done = threading.Event()
