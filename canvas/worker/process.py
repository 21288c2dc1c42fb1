"""One worker process: its consumer loop, its slots, its periodic duties; start, drain, end."""

import os
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from canvas.app.application import Canvas
from canvas.drivers.ports.values import LeaseReply
from canvas.model.settlement import ChordDispatch, ReadyChord, Settlement
from canvas.telemetry import emit
from canvas.worker.consumer.lifetimes import Lifetimes
from canvas.worker.consumer.loop import SIGNALS_WITHIN, ConsumerLoop, InlineLoop, ThreadedLoop
from canvas.worker.consumer.loop_parts import LoopParts
from canvas.worker.consumer.maintenance import (
    ChildMaintenance,
    LeaseHeartbeats,
    Maintenance,
    MaintenanceThread,
    beat_every,
    holds_for,
    renew,
)
from canvas.worker.consumer.prefetch import PrefetchPolicy
from canvas.worker.consumer.revoked import Revocations
from canvas.worker.consumer.topology import declare
from canvas.worker.consumer.wait import BrokerWait, ChildWait
from canvas.worker.control.process_commands import ProcessCommands
from canvas.worker.interpreter import interpreter_for_tasks
from canvas.worker.monitoring.event_dispatcher import TaskEvents
from canvas.worker.monitoring.lease_check import LeaseCheck
from canvas.worker.monitoring.shared_memory import ProcessStats, SharedMemory
from canvas.worker.options import WorkerOptions
from canvas.worker.pipeline.active_tasks import ActiveTasks
from canvas.worker.pipeline.batched_calls import BatchedCalls
from canvas.worker.pipeline.batched_tasks import batched_tasks
from canvas.worker.pipeline.pipeline import TaskPipeline
from canvas.worker.pipeline.throttle import Throttle
from canvas.worker.pools.child_commands import ChildCommand
from canvas.worker.pools.recycling import RecycleLimits
from canvas.worker.pools.threads import WorkerThread
from canvas.worker.settlement.nodes_ahead import read_nodes_ahead
from canvas.worker.shutdown import ProcessShutdown
from canvas.worker.signal_handlers import STOPS, handle
from canvas.workflows.store import RunStore

if TYPE_CHECKING:
    from canvas.worker.pools.asyncio_pool import AsyncioPool

_MANY_SLOTS = ("threads", "asyncio")


class WorkerProcess:
    """Runs tasks in this process, on ``slots`` threads; with one slot, on the main thread."""

    def __init__(
        self,
        app: Canvas,
        plan: WorkerOptions,
        slots: int,
        worker: str,
        memory: SharedMemory | None = None,
        row: ProcessStats | None = None,
        part: Callable[[dict[str, Any]], None] | None = None,
        wait: ChildWait | None = None,
    ) -> None:
        """``row`` of ``memory`` is this process's; without them it has a memory of its own. With ``wait`` it is the
        child of a node that waits for it, and that does the periodic duties.

        With ``part`` the process may be ended because of one of its tasks: ``part`` gets its last numbers, for
        the parent, which starts another.
        """
        memory = memory or SharedMemory()
        self._app, self._plan, self._slots = app, plan, slots
        self._asyncio: AsyncioPool | None = None
        self._threads: list[threading.Thread] = []
        limits = (plan.max_tasks_per_child, plan.max_memory_per_child) if part else (None, None)
        self._recycle_limits = RecycleLimits(*limits)
        self._events = TaskEvents(app, plan.hostname, memory)
        self.worker = worker
        self._wait = wait
        self._revocations = Revocations(app.driver.coordination)
        self._one_slot = plan.pool not in _MANY_SLOTS
        number_of = app.driver.recovery.lease_number if part is not None else None
        self._row = row or memory.open_row()
        active = ActiveTasks(plan.hostname, self._row, number_of, self._one_slot)
        self.loop = self._make_loop(active)
        self._exit = ProcessShutdown(app, plan.hostname, worker, self.loop, self._events, active, part, self._end_chord)
        runs = app.open_run_store(self.loop.persist)
        self._pipeline = self._make_pipeline(active, runs, self._exit.exit_with if part else None)
        self._lifetimes = Lifetimes(app, runs, active.running, beat_every(app.conf), renews=wait is None)
        self._duties = self._make_duties()
        own = self._duties if wait is None else ChildMaintenance(app.driver.broker, self._lifetimes.tick)
        self._maintenance = MaintenanceThread(own)
        self._registered = False
        if wait is not None:
            wait.registers = self._register
            if not memory.started:
                self.loop.expect_nothing()
        self._commands = ProcessCommands(app, plan, self._pipeline, self.loop, self._events, self._duties)

    def _make_loop(self, active_tasks: ActiveTasks) -> ConsumerLoop:
        driver, conf, plan = self._app.driver, self._app.conf, self._plan
        batch, seconds = conf.worker_settle_batch_size, conf.worker_prefetch_seconds
        policy = PrefetchPolicy(self._slots, batch, seconds, plan.prefetch_limit)
        wait = self._wait or BrokerWait(driver.broker)
        parts = LoopParts(driver, self.worker, list(plan.queues), policy, self._leased, active_tasks.leases, wait)
        return InlineLoop(parts) if self._one_slot else ThreadedLoop(parts)

    def _make_pipeline(
        self, active_tasks: ActiveTasks, runs: RunStore, exit_with: Callable[[Settlement], None] | None
    ) -> TaskPipeline:
        app, host, loop = self._app, self._plan.hostname, self.loop
        task_throttle = Throttle(app.driver, app.conf, host, loop.persist)
        pipeline = TaskPipeline(app, host, loop, exit_with, self._revocations, active_tasks, task_throttle, runs)
        loop.set_hooks(pipeline.acks_early, self._deferred, pipeline.decoder.expect)
        pipeline.lease_check = LeaseCheck(app.driver.recovery, self._row, self._register, loop.attempt)
        if names := batched_tasks(app, self._plan.pool):
            pipeline.batches = batches = BatchedCalls(names, app, pipeline, loop)
            loop.keep_in(batches)
        return pipeline

    def _make_duties(self) -> Maintenance:
        app, queues = self._app, self._plan.queues
        heartbeats = LeaseHeartbeats(
            app.driver.recovery, app.conf, lambda: [self.worker], queues, lambda: declare(app, queues),
            lambda worker, renewal: self._row.renew(renewal),
        )  # fmt: skip
        return Maintenance(app.driver, heartbeats, self.loop.submit, self._lifetimes.tick)

    def _end_chord(self, ready: ReadyChord) -> ChordDispatch:
        return self._pipeline.complete_chord(ready)

    def _leased(self, leased: LeaseReply) -> None:
        """Before what has been leased is handed out: know what is revoked by now, and what time it is, and have the
        maintenance look after what the tasks need; read what several tasks will need. Of leases of one message that say
        the same, one a second comes here."""
        self._lifetimes.expects_tasks = True
        if self._maintenance.rests:
            self._maintenance.expect_tasks()
        if leased.revocations_version != self._revocations.version:
            self._revocations.read()
        offset = leased.clock_offset
        if offset and not self._app.clock_offset:
            emit("worker.clock_skew", seconds=offset)
        self._app.clock_offset = offset
        if len(leased.deliveries) > 1:
            read_nodes_ahead(self._pipeline.runs, self._app.driver.broker.codec, leased.deliveries)

    def run(self, on_ready: Callable[[], None] | None = None) -> None:
        """Work until stopped by a signal or :meth:`stop`; give back, settle, leave."""
        if self._wait is None:
            self.loop.attempt(self._register)
        if self._plan.events:
            self._events.enable()
        with interpreter_for_tasks(self._one_slot):
            self._work(on_ready)
        if self.loop.failure is not None:
            raise self.loop.failure
        self._exit.finish_warm_shutdown(self._registered)

    def _register(self) -> float:
        """Register the process at the broker. Returns the monotonic time until which this holds at least."""
        self._registered = True
        conf = self._app.conf
        self._row.renew(renew(self._app.driver.recovery, self.worker, self._plan.queues, conf.worker_lease_ttl)[1])
        return time.monotonic() + holds_for(conf)

    def _deferred(self, due: float) -> None:
        self._maintenance.expect(due - self._app.now().timestamp())

    def _work(self, on_ready: Callable[[], None] | None) -> None:
        self.loop.start()
        self._maintenance.start()
        if threading.current_thread() is threading.main_thread():
            self._pipeline.limits.listen()
        if on_ready is not None:
            on_ready()
        try:
            self._run_slots()
            while self.loop.is_alive():
                self.loop.join(SIGNALS_WITHIN)
        finally:
            self._maintenance.stop(within=5.0)
            self._events.close()

    def _run_slots(self) -> None:
        match self._plan.pool:
            case "asyncio":
                # Imported late: asyncio takes longer to import than the rest of canvas; the other pools do without.
                from canvas.worker.pools.asyncio_pool import AsyncioPool

                timeout = self._app.conf.worker_soft_shutdown_timeout
                self._asyncio = AsyncioPool(self.loop, self._pipeline, self._slots, timeout)
                self._asyncio.run()
            case "threads":
                self._start_threads(self._slots)
                while alive := [thread for thread in list(self._threads) if thread.is_alive()]:
                    alive[0].join(SIGNALS_WITHIN)
            case _:
                WorkerThread(
                    self.loop, self._pipeline, self._recycle_at_limit if self._recycle_limits.any else None
                ).run()

    def _start_threads(self, count: int) -> None:
        for _ in range(count):
            name = f"canvas-slot-{len(self._threads)}"
            thread = threading.Thread(target=WorkerThread(self.loop, self._pipeline).run, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def resize(self, by: int) -> None:
        """Add ``by`` slots, or remove slots if ``by`` is negative; one stays. Raises ValueError for the solo pool."""
        if self._plan.pool == "solo":
            raise ValueError("the solo pool has one slot; only the others can grow and shrink")
        by = max(by, 1 - self._slots)
        self._slots += by
        self._plan.concurrency = self._slots
        self.loop.resize(by)
        if self._asyncio is not None:
            self._asyncio.resize(by)
            return
        self.loop.end_slots(max(-by, 0))
        self._start_threads(max(by, 0))

    def _recycle_at_limit(self) -> None:
        why = self._recycle_limits.reason(self._pipeline.active_tasks)
        if why is not None:
            emit("worker.child_recycled", pid=os.getpid(), why=why)
            self._recycle_limits = RecycleLimits(None, None)
            self.stop()

    def ask(self, command: ChildCommand) -> dict[str, Any]:
        """Carry out a command of the node. Returns the answer as JSON."""
        return self._commands.carry_out(command)

    def stop(self) -> None:
        """Drain: start nothing more."""
        self.loop.stop()

    def handle_signals(self) -> None:
        """TERM, INT and HUP drain; a second INT, or QUIT, gives everything back and ends at once; USR1 shows what every
        thread does."""
        handle(dict.fromkeys(STOPS, self._exit.on_signal))

    def warm_shutdown(self) -> None:
        """:meth:`stop`, and report it. The parent of a prefork child reports it itself."""
        self._exit.warm_shutdown()
