"""Broker and results in this process: for tests, and for programs that are client and worker in one.

``memory://name`` is one store per name, for as long as an app holds it. The semantics are those of
``canvas.drivers.ports``: plain queues and plain records, each under a lock of its own, joined by the settler in two
steps.
"""

import threading
import time
from collections.abc import Callable
from weakref import WeakValueDictionary

from canvas.drivers.kombu_envelope import ENVELOPE
from canvas.drivers.memory.admin import MemoryAdmin
from canvas.drivers.memory.broker import MemoryBroker
from canvas.drivers.memory.bus import MemoryBus
from canvas.drivers.memory.coordination import MemoryCoordination
from canvas.drivers.memory.queues import Clock, MemoryQueues
from canvas.drivers.memory.records import MemoryRecords
from canvas.drivers.memory.recovery import MemoryRecovery
from canvas.drivers.memory.results import MemoryResults
from canvas.drivers.memory.schedules import MemorySchedules
from canvas.drivers.ports import BrokerParts, Driver, StoreParts
from canvas.drivers.ports.capabilities import BROKER_OF_ALL, STORE_OF_ALL
from canvas.drivers.ports.codec import MessageCodec
from canvas.drivers.two_step import TwoStepSettler
from canvas.drivers.two_step_schedules import two_step_schedules

_queues: WeakValueDictionary[str, MemoryQueues] = WeakValueDictionary()
_records: WeakValueDictionary[str, MemoryRecords] = WeakValueDictionary()
_lock = threading.Lock()


def broker_parts(queues: MemoryQueues) -> BrokerParts:
    """The parts of a driver over these queues."""
    broker, bus, admin = MemoryBroker(queues), MemoryBus(queues.inboxes), MemoryAdmin(queues)
    coordination, recovery = MemoryCoordination(queues), MemoryRecovery(queues)
    return BrokerParts(broker, bus, admin, coordination, recovery, BROKER_OF_ALL, MemorySchedules(queues, broker))


def store_parts(records: MemoryRecords) -> StoreParts:
    """The parts of a driver over these records."""
    results = MemoryResults(records)
    return StoreParts(results, results, results, STORE_OF_ALL)


def open_broker(url: str, clock: Clock = time.time, codec: MessageCodec = ENVELOPE) -> BrokerParts:
    """The queues that ``memory://name`` names; ``clock`` and ``codec`` are those of queues that this call makes."""
    with _lock:
        queues = _queues.get(url)
        if queues is None:
            queues = _queues[url] = MemoryQueues(clock, codec)
    return broker_parts(queues)


def open_results(url: str, clock: Callable[[], float] = time.time) -> StoreParts:
    """The records that ``memory://name`` names."""
    with _lock:
        records = _records.get(url)
        if records is None:
            records = _records[url] = MemoryRecords(clock)
    return store_parts(records)


def open_memory(url: str = "memory://", clock: Clock = time.time, codec: MessageCodec = ENVELOPE) -> Driver:
    """The driver of the queues and records that ``memory://name`` names."""
    return joined(open_broker(url, clock, codec), open_results(url, clock))


def joined(broker: BrokerParts, store: StoreParts) -> Driver:
    """A driver of queues and records in memory."""
    settler = TwoStepSettler(broker.broker, store.results, store.chords)
    return Driver.of(broker, store, settler, "memory", two_step_schedules(broker, store))
