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


class QueueChange:
    """Other queues to lease from."""

    def __init__(self, queues: list[str]) -> None:
        self.queues = queues
        self.done = threading.Event()
