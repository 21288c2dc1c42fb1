"""The contract of drivers as tests: a class for each port, and all of them as :class:`DriverContract`.

A driver's own test file subclasses them and provides a fixture ``driver``, and the class attribute ``codec`` where the
broker has another form of messages than kombu's envelope. Waiting is always for a condition with a
deadline; where time must pass, it is a short lifetime given to the driver.
"""

from canvas.testing.contract.admin import AdminContract
from canvas.testing.contract.broker import BrokerContract
from canvas.testing.contract.bus import BusContract
from canvas.testing.contract.chords import ChordStoreContract
from canvas.testing.contract.codec import CodecContract
from canvas.testing.contract.coordination import CoordinationContract
from canvas.testing.contract.mailboxes import MailboxContract
from canvas.testing.contract.recovery import RecoveryContract
from canvas.testing.contract.results import ResultStoreContract
from canvas.testing.contract.runs import RunRecordsContract
from canvas.testing.contract.schedules import ScheduleStoreContract
from canvas.testing.contract.settler import SettlerContract
from canvas.testing.contract.support import chord_end, envelope, eventually, ids, part, publish

__all__ = [
    "AdminContract", "BrokerContract", "BusContract", "ChordStoreContract", "CodecContract", "CoordinationContract",
    "DriverContract", "MailboxContract", "RecoveryContract", "ResultStoreContract", "RunRecordsContract",
    "ScheduleStoreContract", "SettlerContract",
    "chord_end", "envelope", "eventually", "ids", "part", "publish",
]  # fmt: skip


class DriverContract(
    CodecContract,
    BrokerContract,
    BusContract,
    AdminContract,
    CoordinationContract,
    RecoveryContract,
    ResultStoreContract,
    ChordStoreContract,
    RunRecordsContract,
    MailboxContract,
    ScheduleStoreContract,
    SettlerContract,
):
    """All of them. Subclass it with a fixture ``driver`` that gives an empty :class:`Driver`; a driver without some of
    the parts subclasses the classes of those that it has."""
