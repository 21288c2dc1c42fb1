"""The prefork pool: a parent that forks children, each a worker process of one slot, and replaces the dead.

No work passes through the parent: children lease for themselves. The parent keeps their leases alive (it knows that
they live even when their interpreter is busy in C code), and returns the messages of a dead child at once.
"""

import gc
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any, TypeVar

from canvas.app.application import Canvas
from canvas.errors import BrokerError
from canvas.exceptions import WorkerTerminate
from canvas.telemetry import emit
from canvas.worker.consumer.lifetimes import Lifetimes
from canvas.worker.consumer.maintenance import LeaseHeartbeats, Maintenance, beat_every, holds_for
from canvas.worker.consumer.shared_wait import SharedWait
from canvas.worker.consumer.topology import declare
from canvas.worker.monitoring.shared_memory import Renewal, SharedMemory
from canvas.worker.options import WorkerOptions, change, new_worker_id
from canvas.worker.pools.child_channel import ask_all
from canvas.worker.pools.child_commands import AdoptOrphans, ChildCommand, ConsumeQueues, ReportState, Terminate
from canvas.worker.pools.children import ChildProcess, Children
from canvas.worker.pools.unresponsive import UnresponsiveChildren
from canvas.worker.signal_handlers import STOPS, dump, handle
from canvas.worker.stopping import EXIT_TIME_LIMIT, announce_stop, remapped

R = TypeVar("R")
_RESPAWN_PAUSE = 0.2
_CHANGED_WITHIN = 1.0
"""Seconds in which children carry out a command before the node answers; a busy one does so later."""


class Prefork:
    """Supervises ``plan.concurrency`` children."""

    def __init__(self, app: Canvas, plan: WorkerOptions, memory: SharedMemory) -> None:
        self._app = app
        self._plan = plan
        self._wanted = plan.concurrency
        self._restart_asked = False
        self._stopping = False
        self._interrupts = 0
        self._cold = False
        self._cold_at = 0.0
        self._gave_back = False
        conf = app.conf
        node = new_worker_id(plan.hostname)
        self._wait = SharedWait(app.driver, memory, node, plan.queues, conf.worker_lease_ttl)
        self._children = Children(app, plan, memory, self._wait)
        self._memory = memory
        self._unresponsive = UnresponsiveChildren(app, plan.hostname, self._children)
        self._beat_every = beat_every(conf)
        self._heartbeats = LeaseHeartbeats(
            app.driver.recovery, conf, self._workers_to_renew, plan.queues, lambda: declare(app, plan.queues),
            self._renewed,
        )  # fmt: skip
        lifetimes = Lifetimes(app, app.run_store, list, self._beat_every)
        self._duties = Maintenance(app.driver, self._heartbeats, None, lifetimes.tick, self._have_orphans_adopted)

    def ask(self, command: ChildCommand) -> list[dict[str, Any]]:
        """Every child's answer (``WorkerProcess.ask``)."""
        change(self._app, self._plan, command)
        if isinstance(command, ConsumeQueues):
            self._wait.consume()
        if isinstance(command, ReportState):
            return self._unresponsive.states()
        children = list(self._children)
        answers = ask_all({one.pid: one.channel for one in children}, command, _CHANGED_WITHIN)
        if isinstance(command, Terminate):
            silent = [one for one in children if answers[one.pid] is None]
            answers.update({one.pid: self._unresponsive.end_one(one, command.ids) for one in silent})
        return [answer for answer in answers.values() if answer is not None]

    def _workers_to_renew(self) -> list[str]:
        """The workers to be renewed at the broker: the worker of the shared wait, and children that may hold a message.

        A child that has waited for some time holds nothing. The broker forgets it; it registers again before it leases.
        """
        now, found = time.monotonic(), [self._wait.worker] if self._wait.is_alive() else []
        for one in self._children:
            row, waits = one.row, one.row.waits
            if not waits or now - waits / 1e9 < self._beat_every:
                if row.started or row.registered or not waits:
                    row.registered = now + holds_for(self._app.conf)
                    found.append(one.worker)
            elif row.registered:
                row.registered = 0.0
                rests = self._app.driver.recovery.rest(one.worker)
                if rests:
                    self._heartbeats.rested(one.worker)
                if not rests or row.waits != waits:  # it was woken meanwhile, and may lease under its old registration
                    row.registered = now + holds_for(self._app.conf)
                    found.append(one.worker)
        return found

    def _renewed(self, worker: str, renewal: Renewal) -> None:
        for one in self._children:
            if one.worker == worker:
                one.row.renew(renewal)

    def _have_orphans_adopted(self) -> None:
        """Have one child, idle where possible, settle the orphans of dead workers."""
        children = list(self._children)
        idle = [one for one in children if one.row.waits]
        for one in random.sample(idle or children, 1) if children else ():
            ask_all({one.pid: one.channel}, AdoptOrphans(), _CHANGED_WITHIN)

    def resize(self, by: int) -> None:
        """Add ``by`` children, or remove some if ``by`` is negative; one stays. Safe from any thread."""
        self._wanted = max(1, self._wanted + by)
        self._plan.concurrency = self._wanted

    def restart(self) -> None:
        """Let every child finish its task, and another child take its place. Safe from any thread."""
        self._restart_asked = True

    def _retire(self, stay: int) -> None:
        """Let the children that are not retiring, all but ``stay`` of them, finish their tasks and end."""
        for one in self._children.staying[stay:]:
            one.retiring = True
            os.kill(one.pid, signal.SIGHUP)

    def _adjust(self) -> None:
        if self._stopping:
            return
        if self._restart_asked:
            self._restart_asked = False
            self._retire(0)
        while len(self._children.staying) < self._wanted and self._children.may_fork:
            self._fork()
        self._retire(self._wanted)

    def _fork(self) -> None:
        """Fork one child more. A signal may have asked for the stop meanwhile."""
        forked = self._children.fork()
        if forked is not None and self._stopping:
            os.kill(forked.pid, signal.SIGQUIT if self._cold else signal.SIGHUP)

    def run(self, on_ready: Callable[[], None] | None = None) -> int:
        """Keep the children running until stopped. Returns the exit code."""
        handle({**dict.fromkeys(STOPS, self._on_signal), signal.SIGUSR1: dump})
        with _frozen():
            try:
                self._adjust()
                self._wait.start()
                if on_ready is not None:
                    on_ready()
                self._memory.ready = True
                self._supervise()
            except BaseException as exc:
                self._wind_down(exc)
                raise
            finally:
                self._wait.close()
                self._forget(self._wait.worker)
        return 1 if self._gave_back else 0

    def _supervise(self) -> None:
        while len(self._children) or not self._stopping:
            self._reap()
            self._adjust()
            self._end_late()
            if len(self._children) or not self._stopping:
                time.sleep(min(self._duties.tick(), _RESPAWN_PAUSE))

    def _wind_down(self, exc: BaseException) -> None:
        """Stop, as a signal would stop the node, because of an exception: children that still run tasks would be killed
        with this process. If a part of this fails, the others go on; the failure is reported once until the part
        succeeds again."""
        emit("worker.crashed", worker=self._plan.hostname, exc=exc)
        self._stop(cold=isinstance(exc, WorkerTerminate))
        parts: dict[str, Callable[[], object]] = {
            "reaping children": self._reap, "ending late children": self._end_late, "maintenance": self._duties.tick,
        }  # fmt: skip
        reported: set[str] = set()
        while len(self._children):
            for work, part in parts.items():
                try:
                    part()
                    reported.discard(work)
                except Exception as again:  # noqa: BLE001 - the first exception is raised in the end
                    if work not in reported:
                        emit("worker.internal_error", work=work, exc=again)
                    reported.add(work)
            time.sleep(_RESPAWN_PAUSE)

    def _reap(self) -> None:
        for one, code in self._children.reap():
            self._on_child_exit(one, code)

    def _end_late(self) -> None:
        """Kill the children that are late: with the end of their task, with their start, or with their own end."""
        self._unresponsive.end_overdue()
        start_within = self._app.conf.worker_proc_alive_timeout or float("inf")
        self._unresponsive.end_unstarted(0.0 if self._cold else start_within)
        if self._cold:
            self._unresponsive.kill_after_cold_stop(self._cold_at)

    def _on_child_exit(self, one: ChildProcess, code: int | None) -> None:
        """A child has ended: return its messages. ``code`` is ``None`` where other code has taken its exit code."""
        self._gave_back = self._gave_back or (self._cold and code != 0)
        in_order = code in (0, EXIT_TIME_LIMIT) or (self._cold and code is not None and code > 0)
        if in_order:
            self._forget(one.worker)
        else:
            task = self._attempt(lambda: self._unresponsive.task_of(one))
            emit("worker.child_lost", pid=one.pid, exitcode=code, task=task)
            if code is not None:
                self._attempt(partial(self._unresponsive.note_exit, one, code))
            self._attempt(lambda: self._app.driver.recovery.recover_worker(one.worker))
        if not self._stopping and not in_order:
            time.sleep(_RESPAWN_PAUSE)

    def _forget(self, worker: str) -> None:
        """Have the broker forget a worker that has left: a heartbeat of this process may have come after that."""
        self._attempt(lambda: self._app.driver.recovery.rest(worker))

    def _attempt(self, call: Callable[[], R]) -> R | None:
        """Call the broker once. An outage is reported; the missing heartbeat then shows that the child is gone."""
        try:
            return call()
        except BrokerError as exc:
            emit("broker.unreachable", error=str(exc))
            return None

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        number = remapped(number)
        cold = number == signal.SIGQUIT or (number == signal.SIGINT and self._interrupts > 0)
        if number == signal.SIGINT:
            self._interrupts += 1
        self._stop(cold)

    def stop(self) -> None:
        """Let the children finish their tasks and end. Safe from any thread."""
        self._stop(cold=False)

    def _stop(self, cold: bool) -> None:
        self._stopping = True
        self._wait.ask_stop()
        if cold and not self._cold:
            self._cold, self._cold_at = True, time.monotonic()
        self._children.signal(signal.SIGQUIT if cold else signal.SIGHUP)
        how = ("soft" if self._app.conf.worker_soft_shutdown_timeout else "cold") if cold else "warm"
        announce_stop(how, self._plan.hostname)


@contextmanager
def _frozen() -> Iterator[None]:
    """Exempt the objects that are loaded by now from garbage collection: children go on sharing their memory."""
    already = gc.get_freeze_count()
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        if not already:
            gc.unfreeze()
