"""Whether a message is still leased when its task is about to start.

A process that was stopped, or got no processor, for longer than its heartbeat is good for has lost its leases: other
workers run the tasks, and the settlements of this one are refused. A task that it has not started need not start.
Nothing is asked of the broker while heartbeats are in time. Both clocks are compared: the monotonic one stands still
while a machine is suspended, and the other one may be set.
"""

import time
from collections.abc import Callable

from canvas.drivers.ports.recovery import Recovery
from canvas.model.message import Delivery
from canvas.worker.monitoring.shared_memory import ProcessStats


class LeaseCheck:
    """The check of one process."""

    def __init__(
        self, recovery: Recovery, row: ProcessStats, renew: Callable[[], object],
        attempt: Callable[[Callable[[], bool]], bool | None],
    ) -> None:  # fmt: skip
        """``row`` says until when the broker knows this process. ``renew`` sends a heartbeat. ``attempt`` repeats a
        call while the broker is unreachable; it returns ``None`` where the process is to end."""
        self._recovery = recovery
        self._renew = renew
        self._attempt = attempt
        self.times = row.renewal
        """See ``ProcessStats``."""
        recovery.on_broken(row.break_leases)

    def in_doubt(self, delivery: Delivery) -> bool:
        """Whether another worker may have the message by now, as far as is known here."""
        until, until_by_day, since = self.times
        expired = time.monotonic() * 1e6 > until or time.time() * 1e6 > until_by_day
        return expired or delivery.leased_at * 1e6 < since

    def is_lost(self, delivery: Delivery, early_acked: bool) -> bool:
        """Ask the broker whether the lease of a message is lost. ``early_acked``: it is acked already."""

        def holds() -> bool:
            # A heartbeat first: no worker takes a message whose lease is then found, before its task has started.
            self._renew()
            return self._recovery.still_leased(delivery, early_acked)

        return not self._attempt(holds)
