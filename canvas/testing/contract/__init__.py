"""What every driver must do, as tests: a class for each port, and all of them as :class:`DriverContract`.

A driver's own test file subclasses it and provides a fixture ``driver``. Waiting is always for a condition with a
deadline; where time must pass, it is a short lifetime given to the driver.
"""

from canvas.testing.contract.bus import BusContract
from canvas.testing.contract.chords import ChordsContract
from canvas.testing.contract.coordination import CoordinationContract
from canvas.testing.contract.dead_letters import DeadLettersContract
from canvas.testing.contract.leases import LeasesContract
from canvas.testing.contract.queues import QueuesContract
from canvas.testing.contract.records import RecordsContract
from canvas.testing.contract.runs import RunsContract
from canvas.testing.contract.settlements import SettlementsContract
from canvas.testing.contract.support import envelope, eventually, firing, ids, part, publish

__all__ = ["DriverContract", "envelope", "eventually", "firing", "ids", "part", "publish"]


class DriverContract(
    RunsContract,
    DeadLettersContract,
    BusContract,
    CoordinationContract,
    QueuesContract,
    SettlementsContract,
    LeasesContract,
    RecordsContract,
    ChordsContract,
):
    """Subclass it with a fixture ``driver`` that gives an empty :class:`Driver`."""
