"""Runs of workflows in this process, for ``task_always_eager`` and ``Workflow.apply``.

The messages of such a run go through the worker's own code, one after the other, over a store in memory that belongs to
this run alone. Values pass from node to node as bytes, as between workers, and the run ends as it would have on a
worker. Delays cost no time: the store's clock is moved on to the next message that is due. Queues, rate limits and time
limits have no effect.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from canvas.app.application import Canvas
from canvas.config.lifetimes import LASTING, whole_seconds
from canvas.drivers.memory import broker_parts, joined, store_parts
from canvas.drivers.memory.queues import MemoryQueues
from canvas.drivers.memory.records import MemoryRecords
from canvas.drivers.ports.results import ResultStore
from canvas.drivers.ports.runs import RunRecords
from canvas.drivers.ports.values import Lease
from canvas.errors import ConfigurationError, WorkflowFailed
from canvas.model import states
from canvas.model.message import Delivery, Publish
from canvas.model.settlement import ReadyChord, ResultWrite, SettleResult
from canvas.model.workflow_run import AWAITING_SIGNAL, RunNode
from canvas.result import AsyncResult, EagerResult
from canvas.wire.record import says_success
from canvas.wire.run_compression import NODES_PER_CHUNK
from canvas.worker.consumer.revoked import Revocations
from canvas.worker.pipeline.in_process_pipeline import InProcessPipeline
from canvas.workflows.labels import run_listing
from canvas.workflows.run import Run
from canvas.workflows.run_records import record_ids, runs_in_places

_QUEUE, _WORKER = "here", "in-process"
_PER_SERVER = ("backend", "client", "control", "driver", "events", "run_store", "runs", "sender", "sent_events")
"""Attributes of an app that lead to its servers."""


def run_here(app: Canvas, about: dict[str, Any], nodes: list[RunNode], signals: Any = None) -> "RunHere":
    """Start a run of these nodes, send it ``signals``, and carry it out.

    Raises a node's error under ``task_eager_propagates``.
    """
    here = InProcess(app)
    run = RunHere.begin(here.app, about, nodes)
    run.here = here
    for name, payload in signals.items() if isinstance(signals, Mapping) else signals or ():
        run.signal(name, payload)
    run.carry_out()
    return run


def begin_attempt_here(stored: Run, step: Callable[[Run], bool]) -> bool:
    """Take a step that begins an attempt of a run which ``task_store_eager_result`` has stored, and store it again."""
    here = InProcess(stored.app)  # type: ignore[arg-type] # the app itself, which workflows know by its parts
    here.load(stored)
    run = RunHere.find(here.app, stored.id)
    run.here = here
    begun = run._take_step(step)
    stored.refresh()
    return begun


class RunHere(Run):
    """A run that has ended when the call that starts or resumes it returns."""

    here: "InProcess"

    def carry_out(self) -> None:
        """Run its tasks until nothing is left to run, and store what is to be stored."""
        self.here.work()
        if not self.status().over:
            waits = [node.name for node in self.status().nodes if node.state == AWAITING_SIGNAL]
            why = f"{', '.join(waits)}: no signal came; give signals={{…}}" if waits else "its last node has not ended"
            raise WorkflowFailed(self.id, f"nothing is left to run, and {why}")
        self.here.store()
        if self.here.app.conf.task_eager_propagates:
            self.get()

    def get(self, timeout: float | None = None, propagate: bool = True) -> Any:
        """The value of the last node, or of all last nodes by name. Raises the error of the node that failed; without
        ``propagate`` it returns this error."""
        return self.conclude(self.status().state, propagate)

    async def aget(self, timeout: float | None = None, propagate: bool = True) -> Any:
        return self.get(propagate=propagate)

    def ready(self) -> bool:
        return True

    def __getitem__(self, name: str) -> AsyncResult:
        return self._ended_result(super().__getitem__(name))

    @property
    def result(self) -> AsyncResult:
        return self._ended_result(super().result)

    def _take_step(self, step: Callable[[Run], bool]) -> bool:
        if begun := step(self):
            self.carry_out()
        return begun

    def _run_again(self, about: dict[str, Any], nodes: list[RunNode]) -> Run:
        return run_here(self.here.origin, about, nodes)

    def _ended_result(self, result: AsyncResult) -> EagerResult:
        record = self.app.backend.get_records([result.id])[0]
        if record is None:
            return EagerResult(result.id, None, states.PENDING)
        return EagerResult(result.id, record.result, record.status, traceback=record.traceback)


class InProcess:
    """An app whose servers are one store in memory, and the code that runs its messages."""

    def __init__(self, app: Canvas) -> None:
        """``app``: whose tasks and settings count."""
        app.finalize(auto=True)
        self.origin = app
        self.app: Canvas = object.__new__(type(app))
        known = {name: value for name, value in vars(app).items() if name not in _PER_SERVER}
        vars(self.app).update(known, conf=app.conf)
        self._records = _LastingRecords(lambda: time.time() + self.app.clock_offset)
        driver = joined(broker_parts(_OneQueue(self._records.clock)), store_parts(self._records))
        self.app.driver, self._broker, self._settler = driver, driver.broker, driver.settler
        self.app.run_store.lifetimes = LASTING
        self._revocations, self._eager_results = Revocations(driver.coordination), set[str]()
        self._pipeline = InProcessPipeline(self.app, self._revocations)

    def work(self) -> None:
        """Run messages until none is left."""
        while True:
            leased = self._broker.lease(Lease(_WORKER, (_QUEUE,), 1))
            if leased:
                self._revocations.read()
                self._run(leased[0])
            elif ready := self._settler.stale_ready_chords(0):
                self._dispatch(ready)
            elif not self._skip_to_next():
                return

    def _run(self, delivery: Delivery) -> None:
        settlement = self._pipeline.run(delivery)
        self._eager_results |= {store.task_id for store in settlement.stores if self._pipeline.stores_result}
        verdict = self._settler.settle([settlement]).verdicts[0]
        self._dispatch(verdict.ready)

    def _dispatch(self, ready: Sequence[ReadyChord]) -> None:
        waiting = list(ready)
        while waiting:
            verdict: SettleResult = self._settler.dispatch_chord(self._pipeline.complete_chord(waiting.pop(0)))
            waiting += verdict.ready

    def _skip_to_next(self) -> bool:
        """Move the clock on to the next message that is due; False when there is none."""
        seconds = self._broker.next_due()
        if seconds is None:
            return False
        self.app.clock_offset += max(0.0, seconds)
        self._broker.enqueue_due(1)
        return True

    def store(self) -> None:
        """Copy the run to the result backend; without ``task_store_eager_result``, results that tasks ask to store."""
        conf, records, everything = self.app.conf, self._records, bool(self.app.conf.task_store_eager_result)
        expires = whole_seconds(conf.workflow_run_expires) or None
        kept = [
            ResultWrite(task_id, record.payload, expires, record.success)
            for task_id, record in records.records.items()
            if everything or task_id in self._eager_results
        ]
        if not kept:
            return
        store = self._own_store()
        store.results.forget(list(records.runs) if everything else [])  # a success that is stored is kept as it is
        store.results.store(kept)
        for run, fields in records.runs.items() if everything else ():
            store.runs.save_run(run, fields, expires, time.time(), records.run_index.listing(run))

    def _own_store(self) -> "_OwnStore":
        driver = self.origin.driver
        if driver.results is None or driver.runs is None:
            raise ConfigurationError("task_store_eager_result needs a result backend: set result_backend")
        return _OwnStore(driver.results, driver.runs)

    def load(self, run: Run) -> None:
        """Copy a stored run, and the runs inside of it, into the store in memory. Raises RunLost."""
        results, runs = self._own_store()
        parts = range(-(-len(run.nodes) // NODES_PER_CHUNK))
        chunks = [f"{attempt}.{part}" for attempt in range(run.attempt + 1) for part in parts]
        names = ["about", "attempt", "cancelled", "overdue", *chunks]
        fields = zip(names, runs.read_run(run.id, names), strict=True)
        self._records.runs[run.id] = {name: value for name, value in fields if value is not None}
        if "parent" not in run.about:  # others are not listed
            self._records.run_index.add(run.id, run_listing(run.about), time.time())
        ids = record_ids(run.app, run.app.run_store, run.id, run.attempt, run.nodes)
        for child, _ in runs_in_places(run.app, run.app.run_store, ids):
            self.load(Run.find(run.app, child))
        for task_id, payload in zip(ids, results.get(ids), strict=True):
            if payload is not None:
                self._records.keep(ResultWrite(task_id, payload, None, says_success(payload)))


class _OwnStore(NamedTuple):
    """The result backend of the app that started the run."""

    results: ResultStore
    runs: RunRecords


class _OneQueue(MemoryQueues):
    """Queues that are all one."""

    def route(self, message: Publish) -> list[str]:
        return [_QUEUE]


class _LastingRecords(MemoryRecords):
    """Records and runs that do not expire."""

    def keep_run(self, run: str, expires: int | None) -> None:
        super().keep_run(run, None)

    def keep(self, store: ResultWrite) -> None:
        super().keep(store._replace(expires=None))
