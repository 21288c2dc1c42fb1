"""The interface between canvas and the servers that it uses: the parts of a driver.

:class:`Broker` keeps messages and leases, :class:`Bus` carries broadcasts and replies, :class:`Admin` shows and changes
the contents of a broker, :class:`Coordination` is state that all workers share, :class:`Recovery` knows which workers
live. :class:`ResultStore`, :class:`ChordStore` and :class:`RunRecords` keep records, the parts of chords, and runs of
workflows. :class:`Settler` commits settlements across them. All parts take and return bytes and the values of
``canvas.model``; no driver knows what a task is. Every driver passes ``canvas.testing.contract``, which has a class for
each part.

Threads: every method may be called from any thread, except ``Broker.wait``: one thread waits for one worker. Methods
named ``a…`` are coroutines with the same contract. Errors: an unreachable server raises
:class:`canvas.errors.OperationalError`, after the driver's own retries; a refused request raises
:class:`canvas.errors.BrokerError`.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from canvas.drivers.ports.admin import Admin
    from canvas.drivers.ports.broker import Broker, StepBroker
    from canvas.drivers.ports.bus import Bus
    from canvas.drivers.ports.capabilities import Capability
    from canvas.drivers.ports.chords import ChordStore
    from canvas.drivers.ports.coordination import Coordination
    from canvas.drivers.ports.recovery import Recovery
    from canvas.drivers.ports.results import ResultStore, TableStore
    from canvas.drivers.ports.runs import RunRecords
    from canvas.drivers.ports.schedules import ScheduleStore
    from canvas.drivers.ports.settler import Settler


class BrokerParts(NamedTuple):
    """The parts that a broker's URL opens."""

    broker: "StepBroker"
    bus: "Bus"
    admin: "Admin"
    coordination: "Coordination"
    recovery: "Recovery"
    capabilities: "frozenset[Capability]"
    schedules: "ScheduleStore | None" = None
    """``None`` when the broker cannot keep the entries of periodic tasks."""


class StoreParts(NamedTuple):
    """The parts that a result backend's URL opens; without chords or runs, where the store cannot keep them."""

    results: "ResultStore"
    chords: "ChordStore | None"
    runs: "RunRecords | None"
    capabilities: "frozenset[Capability]"


@dataclass(slots=True)
class Driver:
    """The parts that an app holds, opened from its URLs."""

    broker: "Broker"
    bus: "Bus"
    admin: "Admin"
    coordination: "Coordination"
    recovery: "Recovery"
    results: "ResultStore | None"
    """``None`` when the app has no result backend."""
    chords: "ChordStore | None"
    runs: "RunRecords | None"
    settler: "Settler"
    capabilities: "frozenset[Capability]"
    """The capabilities of its parts together."""
    scheme: str = ""
    schedules: "ScheduleStore | None" = None
    """``None`` when the broker cannot keep the entries of periodic tasks."""
    state_tables: "TableStore | None" = None
    """The tables of the state of a broker that only carries messages, where the results' do not include them."""

    @classmethod
    def of(
        cls, broker: BrokerParts, store: StoreParts | None, settler: "Settler", scheme: str,
        schedules: "ScheduleStore | None" = None,
    ) -> "Driver":  # fmt: skip
        """A driver of these parts; ``schedules``: instead of the broker's."""
        results, chords, runs, found = store if store is not None else (None, None, None, frozenset())
        capabilities = broker.capabilities | found
        return cls(
            broker.broker, broker.bus, broker.admin, broker.coordination, broker.recovery, results, chords, runs,
            settler, capabilities, scheme, schedules or broker.schedules,
        )  # fmt: skip

    def close(self) -> None:
        """Release the connections of all parts. Using the driver again reconnects."""
        self.broker.close()
        if self.results is not None:
            self.results.close()
