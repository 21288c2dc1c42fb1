"""What a worker does beside the line: renew its leases, give back what dead workers held, promote what is due,
fire chords whose firing worker died."""

import threading
import time
from collections.abc import Callable, Sequence
from random import uniform

from canvas.config import Config
from canvas.drivers.base import Driver
from canvas.errors import BrokerError
from canvas.model.settlement import Orphan, Ready
from canvas.telemetry import emit

_PROMOTE_EVERY = 0.05
_PROMOTE_AT_ONCE = 1000
_SWEEP_EVERY = 2.0
_UNFIRED_AFTER = 3.0
_FEW = 8
"""So many workers each do the duties of all in their own time; more share them, so that a large fleet asks no more of
the broker than a small one."""


class Duties:
    """The periodic work of one node; ``tick`` does what is due and says how long to sleep."""

    def __init__(
        self,
        driver: Driver,
        workers: Callable[[], list[str]],
        queues: list[str],
        beat: float,
        ttl: float,
        offer: Callable[[Sequence[Ready | Orphan]], None] | None,
        declare: Callable[[], object],
        lifetimes: Callable[[], object] | None = None,
    ) -> None:
        """``declare`` makes the queues known again to a broker that has forgotten all it knew; ``lifetimes`` keeps what
        tasks and runs need."""
        self._driver = driver
        self._workers = workers
        self._queues = queues
        self._beat_every = beat
        self._ttl = ttl
        self._offer = offer
        self._declare = declare
        self._lifetimes = lifetimes
        self._seen: set[str] = set()
        self._next_beat = self._next_sweep = self._next_promote = 0.0
        self._share = 1.0
        self._unreachable = False

    def tick(self) -> float:
        """Do what is due; seconds until something is due again. An unreachable broker is tried again."""
        try:
            self._do_due()
        except BrokerError as exc:
            self._next_beat = 0.0  # it may come back as a copy that does not know this worker
            if not self._unreachable:
                self._unreachable = True
                emit("broker.unreachable", error=str(exc))
            return 1.0
        except Exception as exc:  # noqa: BLE001 - without upkeep the worker would be given up for dead
            emit("worker.fault", work="upkeep", exc=exc)
            return 1.0
        if self._unreachable:
            self._unreachable = False
            emit("broker.recovered")
        return _PROMOTE_EVERY

    def _do_due(self) -> None:
        now = time.monotonic()
        if now >= self._next_beat:
            forgotten = [worker for worker in self._workers() if self._beat(worker)]
            if forgotten:
                emit("worker.forgotten", worker=", ".join(forgotten))
                self._declare()
            self._next_beat = now + self._beat_every
        if now >= self._next_promote:
            self._promote(now)
        if now >= self._next_sweep:
            self._sweep()
            self._next_sweep = now + self._shared(_SWEEP_EVERY)
        if self._lifetimes is not None:
            self._lifetimes()

    def _beat(self, worker: str) -> bool:
        """Renew a worker's heartbeat; whether the broker has forgotten that worker."""
        beat = self._driver.broker.beat(worker, self._queues, self._ttl)
        self._share = max(1.0, beat.workers / _FEW)
        forgotten = not beat.known and worker in self._seen
        self._seen.add(worker)
        return forgotten

    def _promote(self, now: float) -> None:
        broker = self._driver.broker
        while broker.promote(_PROMOTE_AT_ONCE) == _PROMOTE_AT_ONCE:
            continue
        self._next_promote = now + self._shared(_PROMOTE_EVERY)

    def _shared(self, seconds: float) -> float:
        """When it is this worker's turn again of what somebody should do so often; at random, not all at once."""
        return seconds if self._share == 1.0 else seconds * self._share * uniform(0.5, 1.5)

    def _sweep(self) -> None:
        broker = self._driver.broker
        returned = broker.reap()
        broker.unpark()
        if returned:
            emit("worker.reaped", messages=returned)
        if self._offer is not None:
            self._offer(broker.orphans())
            if self._driver.results is not None:
                self._offer(self._driver.completer.unfired(_UNFIRED_AFTER))


def beat_every(conf: Config) -> float:
    """Seconds between heartbeats: ``worker_lease_beat``, or less where Celery's workers on the same queues would take
    what is held for lost before that (``visibility_timeout``)."""
    visible_again = conf.broker_transport_options.get("visibility_timeout")
    beat: float = conf.worker_lease_beat
    return min(beat, float(visible_again) / 3) if visible_again else beat


class Upkeep(threading.Thread):
    """Duties on a thread of their own, for a process that runs tasks."""

    def __init__(self, duties: Duties) -> None:
        super().__init__(name="canvas-upkeep", daemon=True)
        self._duties = duties
        self._stop_asked = threading.Event()

    def run(self) -> None:
        while not self._stop_asked.wait(self._duties.tick()):
            continue

    def stop(self) -> None:
        """End after the tick in progress."""
        self._stop_asked.set()
