"""The side of a prefork child: the code between the fork and the end of the process."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NoReturn, TypeAlias

from canvas.app.application import Canvas
from canvas.telemetry import emit
from canvas.worker.consumer.shared_wait import SharedWait
from canvas.worker.consumer.wait import ChildWait
from canvas.worker.logs.streams import flush
from canvas.worker.monitoring.shared_memory import ProcessStats, SharedMemory
from canvas.worker.options import WorkerOptions
from canvas.worker.pipeline.daemon_processes import exit_at_once
from canvas.worker.pools.child_channel import ChildChannel
from canvas.worker.pools.parent_death import end_with_parent
from canvas.worker.process import WorkerProcess
from canvas.worker.signal_handlers import handle, ignore

_LOOKS_EVERY = 0.005
Mask: TypeAlias = set[signal.Signals | int]
"""Blocked signals."""


def run_and_exit(work: Callable[[], None], worker: str, hostname: str) -> NoReturn:
    """Do the work of a forked process and end the process.

    A forked process must never return into its parent's code, whatever raises here: the last statement that can run
    ends the process.
    """
    code = 1
    try:
        try:
            work()
            code = 0
        except SystemExit as exc:
            code = exc.code if isinstance(exc.code, int) else 1
        except BaseException as exc:  # noqa: BLE001 - it is reported, and the process ends
            emit("worker.crashed", worker=worker, exc=exc)
        emit("worker.process_shutdown", hostname=hostname, pid=os.getpid(), exitcode=code)
        flush()
    finally:
        exit_at_once(code)


@dataclass(slots=True)
class Origin:
    """The values that a child gets from its parent."""

    worker: str
    memory: SharedMemory
    row: ProcessStats
    channel: ChildChannel
    siblings: Sequence[ChildChannel]
    mask: Mask
    """The signals that the parent had blocked before the fork."""
    index: int
    """Its number among the children that live, from 1."""
    number: int
    """Its number among all children that the node has had, from 1."""
    wait: ChildWait
    parent: int
    """The process id of its parent."""


def serve(app: Canvas, plan: WorkerOptions, origin: Origin, shared: SharedWait) -> None:
    """Run the worker process of one slot."""
    channel = origin.channel.keep_child_end()
    shared.stay_out(origin.wait)
    for sibling in origin.siblings:
        sibling.close()
    # As Celery's children are called; log records take their processName from there.
    multiprocessing.current_process().name = f"ForkPoolWorker-{origin.number}"
    emit("worker.forked", index=origin.index)
    # A stream whose lock another thread of the parent held at the fork blocks here, where the parent looks for
    # processes that do not start.
    flush()
    wait = origin.wait if app.driver.broker.shares_waits else None
    process = WorkerProcess(app, plan, 1, origin.worker, origin.memory, origin.row, channel.send_final_stats, wait)
    process.handle_signals()
    # A terminal's Ctrl-C reaches every process of the group; the parent sends its children the signal that they obey.
    handle({signal.SIGINT: ignore})
    signal.pthread_sigmask(signal.SIG_SETMASK, origin.mask)
    end_with_parent(origin.parent)
    channel.serve(process.ask)
    app.call_hook("on_after_fork")
    emit("worker.process_init", hostname=plan.hostname)
    origin.row.set_up(True)
    process.run(lambda: _until_ready(origin.memory, process))


def _until_ready(memory: SharedMemory, process: WorkerProcess) -> None:
    """Wait until the node is ready, or the process is to stop: no task starts before the receivers of ``worker_ready``
    have been called, and before the node takes remote control."""
    while not (memory.ready or process.loop.stopping):
        time.sleep(_LOOKS_EVERY)
