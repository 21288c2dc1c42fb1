"""The prefork pool: a parent that forks children, each a worker process of one slot, and replaces the dead.

No work passes through the parent: children lease for themselves. The parent keeps their leases alive (it knows
that they live even when their interpreter is busy in C code), and gives back at once what a dead child held.
"""

import gc
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from canvas.app.application import Canvas
from canvas.drivers.stored_messages import task_id_of
from canvas.errors import BrokerError
from canvas.model.settlement import OrphanReason
from canvas.telemetry import emit
from canvas.worker.consumer.lifetimes import Lifetimes
from canvas.worker.consumer.maintenance import Maintenance, beat_every, holds_for
from canvas.worker.consumer.shared_wait import SharedWait
from canvas.worker.consumer.topology import declare
from canvas.worker.control.child_commands import AdoptOrphans, ChildCommand, ConsumeQueues, ReportState, Terminate
from canvas.worker.control.silent_child import running_tag, state_of_silent
from canvas.worker.logs.streams import flush
from canvas.worker.options import WorkerOptions, change, new_worker_id
from canvas.worker.pools import child
from canvas.worker.pools.child_channel import ChildChannel, ask_all
from canvas.worker.pools.shared_memory import ProcessStats, SharedMemory
from canvas.worker.signal_handlers import STOPS, dump, handle
from canvas.worker.stopping import EXIT_TIME_LIMIT, LEAVES_WITHIN, announce_stop, remapped

_RESPAWN_PAUSE = 0.2
_FORK_PAUSE = 1.0
"""Seconds until the next attempt where the system refuses another process."""
_ANSWERED_WITHIN = 0.2
"""Seconds in which a child that runs a task reports what it does; afterwards its parent finds that out itself."""
_IDLE_ANSWERS_WITHIN = 3.0
"""The same for a child without a task: nothing holds its interpreter."""
_CHANGED_WITHIN = 1.0
"""Seconds in which children carry out a command before the node answers; a busy one does so later."""
_GRACE = 1.0
"""Seconds beyond a hard limit in which a child may end its task itself."""


class Prefork:
    """Supervises ``plan.concurrency`` children."""

    def __init__(self, app: Canvas, plan: WorkerOptions, board: SharedMemory) -> None:
        self._app = app
        self._plan = plan
        self._board = board
        self._children: dict[int, str] = {}
        self._hotlines: dict[int, ChildChannel] = {}
        self._rows: dict[int, ProcessStats] = {}
        self._indices: dict[int, int] = {}
        self._forks = 0
        self._forked_at: dict[int, float] = {}
        """Of the children that have not started yet."""
        self._fork_after = 0.0
        self._totals: dict[int, dict[str, int]] = {}
        """Tasks by name that each child had begun when it last said so."""
        self._wanted = plan.concurrency
        self._retiring: set[int] = set()
        self._killed: set[int] = set()
        self._restart_asked = False
        self._stopping = False
        self._interrupts = 0
        self._cold = False
        self._cold_at = 0.0
        self._gave_back = False
        conf = app.conf
        node = new_worker_id(plan.hostname)
        self._wait = SharedWait(app.driver, board, node, plan.queues, conf.worker_lease_ttl)
        self._beat_every = beat_every(conf)
        self._duties = Maintenance(
            app.driver,
            self._lively,
            plan.queues,
            self._beat_every,
            conf.worker_lease_ttl,
            None,
            lambda: declare(app, plan.queues),
            Lifetimes(app, app.run_store, list, self._beat_every).tick,
            delegate=self._have_adopted,
        )

    def ask(self, command: ChildCommand) -> list[dict[str, Any]]:
        """Every child's answer (``WorkerProcess.ask``)."""
        change(self._app, self._plan, command)
        if isinstance(command, ConsumeQueues):
            self._wait.consume()
        hotlines = dict(self._hotlines)
        if isinstance(command, ReportState):
            return self._states(hotlines)
        answers = ask_all(hotlines, command, _CHANGED_WITHIN)
        if isinstance(command, Terminate):
            silent = [pid for pid, answer in answers.items() if answer is None]
            answers.update({pid: self._end_silent(pid, command.ids) for pid in silent})
        return [answer for answer in answers.values() if answer is not None]

    def _states(self, hotlines: dict[int, ChildChannel]) -> list[dict[str, Any]]:
        """The state of each child. For one that does not answer, because its task holds the interpreter, this process
        looks itself; one that has not answered an earlier question yet is not asked again."""
        silent = {pid for pid, hotline in hotlines.items() if hotline.silent}
        busy = {pid for pid, row in list(self._rows.items()) if row.active}
        found: dict[int, dict[str, Any]] = {}
        for running, within in ((True, _ANSWERED_WITHIN), (False, _IDLE_ANSWERS_WITHIN)):
            asked = {pid: one for pid, one in hotlines.items() if pid not in silent and (pid in busy) is running}
            found |= {pid: answer for pid, answer in ask_all(asked, ReportState(), within).items() if answer}
        for pid, answer in found.items():
            if pid in self._children:
                self._totals[pid] = answer.get("total", {})
        for pid in hotlines.keys() - found.keys():
            worker, row = self._children.get(pid), self._rows.get(pid)
            if worker is not None and row is not None:
                try:
                    state = state_of_silent(self._app, self._plan.hostname, pid, worker, row)
                except BrokerError as exc:  # what the other children do is known all the same
                    emit("broker.unreachable", error=str(exc))
                    continue
                found[pid] = {**state, "total": self._totals.get(pid, {})}
        return [found[pid] for pid in hotlines if pid in found]

    # -- duties for all children

    def _lively(self) -> list[str]:
        """The workers to be renewed at the broker: the owner of the inbox, and the children that may hold something.

        A child that has waited for some time holds nothing. The broker forgets it; it registers again before it leases.
        """
        now, found = time.monotonic(), [self._wait.worker] if self._wait.is_alive() else []
        for pid, worker in list(self._children.items()):
            row = self._rows.get(pid)
            if row is None:
                continue
            waits = row.waits
            if not waits or now - waits / 1e9 < self._beat_every:
                if row.begun or row.registered or not waits:
                    row.registered = now + holds_for(self._app.conf)
                    found.append(worker)
            elif row.registered:
                row.registered = 0.0
                rests = self._app.driver.recovery.rest(worker)
                if rests:
                    self._duties.rested(worker)
                if not rests or row.waits != waits:  # woken meanwhile, it may lease as what it was before
                    row.registered = now + holds_for(self._app.conf)
                    found.append(worker)
        return found

    def _have_adopted(self) -> None:
        """Have one child, idle where possible, settle what dead workers have left."""
        idle = [pid for pid, row in list(self._rows.items()) if row.waits]
        for pid in random.sample(idle or list(self._hotlines), 1) if self._hotlines else ():
            ask_all({pid: self._hotlines[pid]}, AdoptOrphans(), _CHANGED_WITHIN)

    # -- children that don't answer: their task holds the interpreter

    def _end_silent(self, pid: int, ids: list[str]) -> dict[str, Any] | None:
        """Kill a child for one of these tasks."""
        tag = self._tag(pid)
        held = self._app.driver.recovery.leased_message(tag) if tag else None
        task_id = task_id_of(self._app.driver.broker.codec, held) if held is not None else None
        if tag is None or task_id not in ids:
            return None
        return {"terminated": [task_id]} if self._kill(pid, tag, OrphanReason("terminated")) else None

    def _end_overdue(self) -> None:
        """Kill children whose task is over its hard limit, and that have not ended it themselves."""
        now = time.monotonic()
        for pid, row in list(self._rows.items()):
            deadline, tag = row.deadline, self._tag(pid)
            if deadline is not None and tag is not None and now > deadline + _GRACE and pid not in self._killed:
                self._kill(pid, tag, OrphanReason("time limit", row.limit))

    def _tag(self, pid: int) -> str | None:
        row, worker = self._rows.get(pid), self._children.get(pid)
        return running_tag(self._app.driver.recovery, worker, row) if row is not None and worker is not None else None

    def _kill(self, pid: int, tag: str, reason: OrphanReason) -> bool:
        """Kill a child for the task that it runs; False, and the child lives on, when that has ended."""
        try:
            held = self._app.driver.recovery.orphan_lease(tag, reason.text)
        except BrokerError as exc:
            emit("broker.unreachable", error=str(exc))
            return False
        if held:
            emit("worker.killing", pid=pid, why=reason.text)
            self._killed.add(pid)
            os.kill(pid, signal.SIGKILL)
        return held

    def resize(self, by: int) -> None:
        """So many children more, or fewer; at least one stays. Safe from any thread."""
        self._wanted = max(1, self._wanted + by)
        self._plan.concurrency = self._wanted

    def restart(self) -> None:
        """Let every child finish what it runs, and another take its place. Safe from any thread."""
        self._restart_asked = True

    def _retire(self, stay: int) -> None:
        """Let the children that are not retiring, all but ``stay`` of them, finish what they run."""
        for pid in [pid for pid in list(self._children) if pid not in self._retiring][stay:]:
            self._retiring.add(pid)
            os.kill(pid, signal.SIGHUP)

    def _adjust(self) -> None:
        if self._stopping:
            return
        if self._restart_asked:
            self._restart_asked = False
            self._retire(0)
        while len(self._children) - len(self._retiring) < self._wanted and time.monotonic() >= self._fork_after:
            self._fork()
        self._retire(self._wanted)

    def run(self, on_ready: Callable[[], None] | None = None) -> int:
        """Keep the children running until stopped; the exit code."""
        handle({**dict.fromkeys(STOPS, self._on_signal), signal.SIGUSR1: dump})
        with _frozen():
            try:
                self._adjust()
                self._wait.start()
                if on_ready is not None:
                    on_ready()
                self._supervise()
            finally:
                self._signal_children(signal.SIGHUP)
                self._wait.close()
        return 1 if self._gave_back else 0

    def _supervise(self) -> None:
        while self._children or not self._stopping:
            self._reap_children()
            self._adjust()
            self._end_overdue()
            self._end_unstarted()
            self._end_stubborn()
            if self._children or not self._stopping:
                time.sleep(min(self._duties.tick(), _RESPAWN_PAUSE))

    def _fork(self) -> None:
        emit("worker.forking")
        flush()
        # Until it has handlers of its own, a child would take a signal as its parent does.
        mask: child.Mask = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
        try:
            self._fork_child(mask)
        except OSError as exc:
            self._fork_after = time.monotonic() + _FORK_PAUSE
            emit("worker.fork_failed", error=str(exc))
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def _fork_child(self, mask: child.Mask) -> None:
        """Raises OSError when the system has no process, or no files, to give."""
        self._forks += 1
        index = min(set(range(1, len(self._indices) + 2)).difference(self._indices.values()))
        worker, hotline = new_worker_id(self._plan.hostname), ChildChannel()
        row = self._board.open_row()
        wait = self._wait.enlist(row)
        origin = child.Origin(
            worker, self._board, row, hotline, list(self._hotlines.values()), mask, index, self._forks, wait
        )
        try:
            with self._wait.forking:
                pid = os.fork()
        except OSError:
            hotline.close()
            self._wait.discharge(row)
            self._board.close_row(row)
            raise
        if pid == 0:
            child.run_and_exit(lambda: child.serve(self._app, self._plan, origin, self._wait), worker)
        hotline.ready_to_ask()
        self._children[pid] = worker
        self._hotlines[pid] = hotline
        self._rows[pid] = row
        self._indices[pid] = index
        self._forked_at[pid] = time.monotonic()
        if self._stopping:
            os.kill(pid, signal.SIGQUIT if self._cold else signal.SIGHUP)

    # -- children that do not start, or do not end

    def _end_unstarted(self) -> None:
        """Kill children that have not started within ``worker_proc_alive_timeout``; at once where all are to end."""
        patience = 0.0 if self._cold else self._app.conf.worker_proc_alive_timeout or float("inf")
        for pid, since in list(self._forked_at.items()):
            if self._rows[pid].up:
                del self._forked_at[pid]
            elif time.monotonic() - since > patience and pid not in self._killed:
                emit("worker.not_started", pid=pid, seconds=time.monotonic() - since)
                self._killed.add(pid)
                os.kill(pid, signal.SIGKILL)

    def _end_stubborn(self) -> None:
        """Kill children that have not ended some seconds after a cold stop: their tasks hold the interpreter."""
        patience = self._app.conf.worker_soft_shutdown_timeout + LEAVES_WITHIN + _GRACE
        if not self._cold or time.monotonic() - self._cold_at < patience:
            return
        for pid in self._children.keys() - self._killed:
            emit("worker.killing", pid=pid, why="the worker stops")
            self._killed.add(pid)
            os.kill(pid, signal.SIGKILL)

    def _reap_children(self) -> None:
        """Bury the children that have ended; other processes of this program are left to the code that started them."""
        for pid, worker in list(self._children.items()):
            try:
                found, status = os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                code = None
            else:
                if found == 0:
                    continue
                code = os.waitstatus_to_exitcode(status)
            self._forget(pid)
            self._bury(pid, worker, code)

    def _forget(self, pid: int) -> None:
        del self._children[pid]
        self._retiring.discard(pid)
        self._killed.discard(pid)
        self._indices.pop(pid)
        self._forked_at.pop(pid, None)
        hotline = self._hotlines.pop(pid)
        self._board.ended.update(hotline.farewell().get("total", {}))
        hotline.close()
        self._totals.pop(pid, None)
        row = self._rows.pop(pid)
        self._wait.discharge(row)
        self._board.close_row(row)

    def _bury(self, pid: int, worker: str, code: int | None) -> None:
        """A child has ended: return its messages. ``code`` is ``None`` where other code has taken its exit code."""
        self._gave_back = self._gave_back or (self._cold and code != 0)
        in_order = code in (0, EXIT_TIME_LIMIT) or (self._cold and code is not None and code > 0)
        if not in_order:
            emit("worker.child_lost", pid=pid, exitcode=code)
            try:
                self._app.driver.recovery.recover_worker(worker)
            except BrokerError as exc:
                emit("broker.unreachable", error=str(exc))
        if not self._stopping and not in_order:
            time.sleep(_RESPAWN_PAUSE)

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
        self._signal_children(signal.SIGQUIT if cold else signal.SIGHUP)
        how = ("soft" if self._app.conf.worker_soft_shutdown_timeout else "cold") if cold else "warm"
        announce_stop(how, self._plan.hostname)

    def _signal_children(self, number: signal.Signals) -> None:
        for pid in list(self._children):
            with suppress(ProcessLookupError):  # reaped just now
                os.kill(pid, number)


@contextmanager
def _frozen() -> Iterator[None]:
    """Keep the objects that are loaded by now: children need not look at them for garbage, and share their memory."""
    already = gc.get_freeze_count()
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        if not already:
            gc.unfreeze()
