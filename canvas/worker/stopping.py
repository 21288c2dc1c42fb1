"""How the processes of a worker end: signals, reports, exit codes, and calls that must not hold an end up."""

import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

from canvas.errors import BrokerError
from canvas.telemetry import emit
from canvas.worker.pools.child_commands import ChildCommand, ReportState

LEAVES_WITHIN = 5.0
"""Seconds that a process which stops at once takes to return its messages."""
EXIT_TIME_LIMIT = 75
"""Exit code of a process that a hard time limit ended, in good order."""


def exit_status(code: int | None) -> str:
    """An exit code as ``subprocess`` gives it, in words: ``exitcode 3``, ``signal 9 (SIGKILL)``; None: unknown."""
    if code is None:
        return "an exit code that other code of this program has collected"
    if code >= 0:
        return f"exitcode {code}"
    return f"signal {-code} ({next((one.name for one in signal.Signals if one == -code), 'unknown')})"


def remapped(number: int) -> int:
    """A signal as it is meant: with ``REMAP_SIGTERM=SIGQUIT``, TERM is a QUIT."""
    return signal.SIGQUIT if number == signal.SIGTERM and os.environ.get("REMAP_SIGTERM") == "SIGQUIT" else number


def announce_stop(how: str, hostname: str) -> None:
    """Report that a signal stops the worker. A handler may interrupt a listener, for example one
    that is writing a line of the log: the report comes from another thread."""
    facts = {"how": how, "hostname": hostname}
    threading.Thread(target=emit, args=("worker.stopping",), kwargs=facts, daemon=True).start()


def call_within(seconds: float, call: Callable[[], object]) -> None:
    """Call the broker, and wait for its answer for ``seconds`` at most."""

    def report() -> None:
        try:
            call()
        except BrokerError as exc:
            emit("broker.unreachable", error=str(exc))

    calling = threading.Thread(target=report, name="canvas-leave", daemon=True)
    calling.start()
    calling.join(seconds)


def report_running(ask: Callable[[ChildCommand], list[dict[str, Any]]], how: str, **_: Any) -> None:
    """At a warm stop: say which tasks of the node's processes the worker waits for. ``ask``: ``Pool.ask``."""
    if how != "warm":
        return
    now = time.time()
    running = [
        (f"{info['name']}[{info['id']}]", max(0.0, now - (info["time_start"] or now)))
        for state in ask(ReportState())
        for info in state["active"]
    ]
    if running:
        emit("worker.draining", running=running)
