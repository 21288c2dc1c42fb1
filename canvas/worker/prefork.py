"""The prefork pool: a parent that forks children, each a worker process of one slot, and replaces the dead.

No work passes through the parent: children lease for themselves. The parent keeps their leases alive (it knows
that they live even when their interpreter is busy in C code), and gives back at once what a dead child held.
"""

import faulthandler
import gc
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any, NoReturn

from canvas.app import Canvas
from canvas.errors import BrokerError
from canvas.telemetry import emit
from canvas.wire.message import peek_id
from canvas.worker.board import Board, Row
from canvas.worker.hotline import Hotline
from canvas.worker.process import (
    EXPENDED,
    STOPPING,
    Plan,
    WorkerProcess,
    announce_stop,
    change,
    new_worker_id,
    remapped,
)
from canvas.worker.queues import declare
from canvas.worker.run import TIME_LIMIT
from canvas.worker.upkeep import Duties, beat_every

_RESPAWN_PAUSE = 0.2
_SIGNALS = (*STOPPING, signal.SIGQUIT)
_GRACE = 1.0
"""Seconds beyond a hard limit in which a child may end its task itself."""


class Prefork:
    """Supervises ``plan.concurrency`` children."""

    def __init__(self, app: Canvas, plan: Plan, board: Board) -> None:
        self._app = app
        self._plan = plan
        self._board = board
        self._children: dict[int, str] = {}
        self._hotlines: dict[int, Hotline] = {}
        self._rows: dict[int, Row] = {}
        self._indices: dict[int, int] = {}
        self._forks = 0
        self._wanted = plan.concurrency
        self._retiring: set[int] = set()
        self._killed: set[int] = set()
        self._restart_asked = False
        self._stopping = False
        self._interrupts = 0
        self._cold = False
        self._gave_back = False
        conf = app.conf
        self._duties = Duties(
            app.driver,
            lambda: list(self._children.values()),
            plan.queues,
            beat_every(conf),
            conf.worker_lease_ttl,
            None,
            lambda: declare(app, plan.queues),
        )

    def ask(self, question: dict[str, Any]) -> list[dict[str, Any]]:
        """Every child's answer (``WorkerProcess.ask``)."""
        change(self._app, self._plan, question)
        answers = {pid: hotline.ask(question) for pid, hotline in list(self._hotlines.items())}
        if question["do"] == "terminate":
            silent = [pid for pid, answer in answers.items() if answer is None]
            answers.update({pid: self._end_silent(pid, question["ids"]) for pid in silent})
        return [answer for answer in answers.values() if answer is not None]

    # -- children that don't answer: their task holds the interpreter

    def _end_silent(self, pid: int, ids: list[str]) -> dict[str, Any] | None:
        """Kill a child for one of these tasks."""
        tag = self._running_tag(pid)
        held = self._app.driver.broker.payload(tag) if tag else None
        task_id = peek_id(held) if held is not None else None
        if tag is None or task_id not in ids:
            return None
        self._kill(pid, tag, "terminated")
        return {"terminated": [task_id]}

    def _end_overdue(self) -> None:
        """Kill children whose task is over its hard limit, and that have not ended it themselves."""
        now = time.monotonic()
        for pid, row in list(self._rows.items()):
            deadline, tag = row.deadline, self._running_tag(pid)
            if deadline is not None and tag is not None and now > deadline + _GRACE and pid not in self._killed:
                self._kill(pid, tag, f"{TIME_LIMIT}{row.limit}")

    def _running_tag(self, pid: int) -> str | None:
        row, worker = self._rows.get(pid), self._children.get(pid)
        return f"canvas:{worker}:{row.running}" if row is not None and worker is not None and row.active else None

    def _kill(self, pid: int, tag: str, reason: str) -> None:
        try:
            self._app.driver.broker.condemn(tag, reason)
        except BrokerError as exc:
            emit("broker.unreachable", error=str(exc))
            return
        emit("worker.killing", pid=pid, why=reason)
        self._killed.add(pid)
        os.kill(pid, signal.SIGKILL)

    def resize(self, by: int) -> None:
        """So many children more, or fewer; at least one stays. Safe from any thread."""
        self._wanted = max(1, self._wanted + by)
        self._plan.concurrency = self._wanted

    def restart(self) -> None:
        """Let every child finish what it runs, and another take its place. Safe from any thread."""
        self._restart_asked = True

    def _retire(self, stay: int) -> None:
        """Let all but so many of the children that are not retiring finish what they run."""
        for pid in [pid for pid in list(self._children) if pid not in self._retiring][stay:]:
            self._retiring.add(pid)
            os.kill(pid, signal.SIGHUP)

    def _adjust(self) -> None:
        if self._stopping:
            return
        if self._restart_asked:
            self._restart_asked = False
            self._retire(0)
        while len(self._children) - len(self._retiring) < self._wanted:
            self._fork()
        self._retire(self._wanted)

    def run(self, on_ready: Callable[[], None] | None = None) -> int:
        """Keep the children running until stopped; the exit code."""
        for number in _SIGNALS:
            signal.signal(number, self._on_signal)
        faulthandler.register(signal.SIGUSR1, sys.__stderr__ or sys.stderr)
        # What is loaded by now stays: children need not look at it, and share its memory.
        gc.collect()
        gc.freeze()
        for _ in range(self._wanted):
            self._fork()
        if on_ready is not None:
            on_ready()
        while self._children:
            self._reap_children()
            self._adjust()
            self._end_overdue()
            if self._children:
                time.sleep(min(self._duties.tick(), _RESPAWN_PAUSE))
        return 1 if self._gave_back else 0

    def _fork(self) -> None:
        emit("worker.forking")
        self._forks += 1
        index = min(set(range(1, len(self._indices) + 2)).difference(self._indices.values()))
        worker, hotline, row = new_worker_id(self._plan.hostname), Hotline(), self._board.open_row()
        sys.stdout.flush()
        sys.stderr.flush()
        # Until it has handlers of its own, a child would take a signal as its parent does.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        pid = os.fork()
        if pid == 0:
            for others in self._hotlines.values():
                others.close()
            self._child(worker, hotline, row, index)
        hotline.ready_to_ask()
        self._children[pid] = worker
        self._hotlines[pid] = hotline
        self._rows[pid] = row
        self._indices[pid] = index
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        if self._stopping:
            os.kill(pid, signal.SIGQUIT if self._cold else signal.SIGHUP)

    def _child(self, worker: str, hotline: Hotline, row: Row, index: int) -> NoReturn:
        code = 1
        try:
            # As Celery's children are called; log records take their processName from there.
            multiprocessing.current_process().name = f"ForkPoolWorker-{self._forks}"
            emit("worker.forked", index=index)
            process = WorkerProcess(self._app, self._plan, 1, worker, self._board, row, hotline.part)
            faulthandler.unregister(signal.SIGUSR1)
            process.handle_signals()
            # A terminal's Ctrl-C reaches every process of the group; the parent passes on what is meant.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            _watch_parent(process)
            hotline.serve(process.ask)
            self._app.tell("on_after_fork")
            emit("worker.process_init")
            process.run()
            code = 0
        except SystemExit as exc:
            code = exc.code if isinstance(exc.code, int) else 1
        except BaseException as exc:  # noqa: BLE001 - a forked child must never return into its parent's code
            emit("worker.crashed", worker=worker, exc=exc)
        finally:
            emit("worker.process_shutdown", pid=os.getpid(), exitcode=code)
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _reap_children(self) -> None:
        while self._children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            worker = self._children.pop(pid, None)
            self._retiring.discard(pid)
            self._killed.discard(pid)
            self._indices.pop(pid, None)
            if pid in self._hotlines:
                hotline = self._hotlines.pop(pid)
                self._board.ended.update(hotline.farewell().get("total", {}))
                hotline.close()
                self._board.close_row(self._rows.pop(pid))
            if worker is not None:
                self._buried(pid, worker, status)

    def _buried(self, pid: int, worker: str, status: int) -> None:
        """A child has ended: what it held goes back, and another takes its place."""
        code = os.waitstatus_to_exitcode(status)
        self._gave_back = self._gave_back or (self._cold and code != 0)
        if code not in (0, EXPENDED) and not self._cold:
            emit("worker.child_lost", pid=pid, exitcode=code)
            try:
                self._app.driver.broker.lost(worker)
            except BrokerError as exc:
                emit("broker.unreachable", error=str(exc))
        if not self._stopping and code not in (0, EXPENDED):
            time.sleep(_RESPAWN_PAUSE)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        number = remapped(number)
        cold = number == signal.SIGQUIT or (number == signal.SIGINT and self._interrupts > 0)
        if number == signal.SIGINT:
            self._interrupts += 1
        self._stopping = True
        self._cold = self._cold or cold
        for pid in list(self._children):
            with suppress(ProcessLookupError):  # reaped just now
                os.kill(pid, signal.SIGQUIT if cold else signal.SIGHUP)
        how = ("soft" if self._app.conf.worker_soft_shutdown_timeout else "cold") if cold else "warm"
        announce_stop(how, self._plan.hostname)


def _watch_parent(process: WorkerProcess) -> None:
    """Drain when the parent is gone: nobody would replace or stop this child any more."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        process.stop()

    threading.Thread(target=watch, name="canvas-parent-watch", daemon=True).start()
