"""Broker and results in this process: for tests, and for programs that are client and worker in one.

``memory://name`` is one store per name, for as long as somebody holds it. The semantics are those of
``canvas.drivers.ports``, with plain data under one lock.
"""

import threading
import time
from collections.abc import Sequence
from weakref import WeakValueDictionary

from canvas.drivers.memory.broker import MemoryBroker
from canvas.drivers.memory.results import MemoryResults
from canvas.drivers.memory.store import Clock, Memory
from canvas.drivers.ports import Driver
from canvas.drivers.ports.values import Lease, SettleReply
from canvas.drivers.retry_policy import Delays
from canvas.model.message import Publish
from canvas.model.settlement import ChordDispatch, ChordStart, ReadyChord, Settlement, SettleResult


class MemorySettler:
    """The Completer over one :class:`Memory`: everything under its lock."""

    def __init__(self, memory: Memory, broker: MemoryBroker, results: MemoryResults) -> None:
        self._memory = memory
        self._broker = broker
        self._results = results

    def settle(
        self, settlements: Sequence[Settlement], lease: Lease | None = None, firings: Sequence[ChordDispatch] = ()
    ) -> SettleReply:
        with self._memory.lock:
            fired = [self.dispatch_chord(firing) for firing in firings]
            verdicts = [self._settle(settlement) for settlement in settlements]
            return SettleReply(verdicts, self._broker.lease(lease) if lease is not None else [], fired)

    def _settle(self, settlement: Settlement) -> SettleResult:
        if not self._broker.dispose(settlement):
            return SettleResult(False, [])
        s = settlement
        return SettleResult(True, self._memory.record_all(s.stores, s.parts, s.joins, s.grow))

    def publish_with_chords(
        self, joins: Sequence[ChordStart], messages: Sequence[Publish], delays: Delays = None
    ) -> None:
        with self._memory.lock:
            self._settle(Settlement(None, fence="none", joins=list(joins), publishes=list(messages)))

    def dispatch_chord(self, firing: ChordDispatch) -> SettleResult:
        with self._memory.lock:
            if not self._memory.finish(firing.group_id, firing.failed):
                return SettleResult(False, [])
            return self._settle(
                Settlement(
                    None,
                    stores=firing.stores,
                    parts=firing.parts,
                    joins=firing.joins,
                    publishes=firing.publishes,
                    deferrals=firing.deferrals,
                )
            )

    def stale_ready_chords(self, older_than: float) -> list[ReadyChord]:
        return self._results.stale_ready_chords(older_than)

    def renew(self, every: float) -> int:
        return self._results.renew(every)


_stores: WeakValueDictionary[str, Memory] = WeakValueDictionary()
_stores_lock = threading.Lock()


def open_memory(url: str = "memory://", clock: Clock = time.time) -> Driver:
    """The driver of the store that ``memory://name`` names; the same name is the same store."""
    with _stores_lock:
        memory = _stores.get(url)
        if memory is None:
            memory = _stores[url] = Memory(clock)
    broker, results = MemoryBroker(memory), MemoryResults(memory)
    return Driver(broker, results, MemorySettler(memory, broker, results), "memory")
