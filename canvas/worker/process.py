"""One worker process: its exchange, its slots, its upkeep; start, drain, end."""

import os
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import Any
from uuid import uuid4

from canvas.app import Canvas
from canvas.model.settlement import Settlement
from canvas.telemetry import emit
from canvas.worker.exchange import Appetite, Exchange
from canvas.worker.revocations import Revocations
from canvas.worker.run import Line
from canvas.worker.slot import Slot
from canvas.worker.tally import Tally
from canvas.worker.upkeep import Duties, Upkeep

EXPENDED = 75
"""Exit code of a process that a hard time limit ended, in good order."""


@dataclass(slots=True)
class Plan:
    """What a node runs: decided once, from settings and command line."""

    hostname: str
    queues: list[str]
    concurrency: int
    pool: str
    prefetch_limit: int
    """Messages a process may hold beyond what its slots run."""
    remote_control: bool = True


def new_worker_id(hostname: str) -> str:
    """A worker id that no other process has or had."""
    return f"{hostname}.{os.getpid()}.{uuid4().hex[:8]}"


class WorkerProcess:
    """Runs tasks in this process, on ``slots`` threads; with one slot, on the main thread."""

    def __init__(self, app: Canvas, plan: Plan, slots: int, worker: str, expendable: bool = False) -> None:
        """An ``expendable`` process may be ended for a task in it; whoever started it starts another."""
        conf = app.conf
        self._app = app
        self._slots = slots
        self.worker = worker
        appetite = Appetite(slots, conf.worker_batch_size, conf.worker_prefetch_seconds, plan.prefetch_limit)
        revocations, tally = Revocations(app.driver.broker), Tally(plan.hostname)
        self.exchange = Exchange(app.driver, worker, list(plan.queues), appetite, revocations.sync, tally.held)
        give_up = self._give_up if expendable else None
        self._line = Line(app, plan.hostname, self.exchange.acknowledge, give_up, revocations, tally)
        duties = Duties(
            app.driver,
            lambda: [worker],
            plan.queues,
            conf.worker_lease_beat,
            conf.worker_lease_ttl,
            self.exchange.offer,
        )
        self._upkeep = Upkeep(duties)
        self._queues = plan.queues
        self._signals = 0

    def run(self, on_ready: Callable[[], None] | None = None) -> None:
        """Work until stopped by a signal or :meth:`stop`; give back, settle, leave."""
        self._app.driver.broker.beat(self.worker, self._queues, self._app.conf.worker_lease_ttl)
        self.exchange.start()
        self._upkeep.start()
        if threading.current_thread() is threading.main_thread():
            self._line.limits.listen()
        if on_ready is not None:
            on_ready()
        try:
            self._run_slots()
            self.exchange.join()
        finally:
            self._upkeep.stop()
            self._upkeep.join(timeout=5)
        if self.exchange.failure is not None:
            raise self.exchange.failure
        self._app.driver.broker.leave(self.worker)

    def _run_slots(self) -> None:
        if self._slots == 1:
            Slot(self.exchange, self._line).run()
            return
        threads = [
            threading.Thread(target=Slot(self.exchange, self._line).run, name=f"canvas-slot-{n}", daemon=True)
            for n in range(self._slots)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                thread.join(timeout=0.5)

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        """Remote control of this process: what it is doing, and changes of what it does.

        ``{"do": "state" | "revoked" | "terminate" | "time_limit" | "queues", …}``.
        """
        match question["do"]:
            case "state":
                return self._line.state()
            case "revoked":
                self._line.revocations.read()
            case "terminate":
                return self._terminate(question["ids"], question["signal"])
            case "time_limit":
                task = self._app.tasks[question["task"]]
                task.soft_time_limit, task.time_limit = question["soft"], question["hard"]
            case "queues":
                self._queues[:] = question["queues"]
                self.exchange.consume(question["queues"])
        return {}

    def _terminate(self, ids: list[str], signal_name: str) -> dict[str, Any]:
        for running in self._line.tally.running():
            if running.message.id in ids and running.terminate is not None:
                emit("task.terminated", message=running.message, signal=signal_name)
                threading.Thread(target=running.terminate, daemon=True).start()
                return {"terminated": [running.message.id]}
        return {}

    def stop(self) -> None:
        """Drain: start nothing more."""
        self.exchange.stop()

    def _give_up(self, settlement: Settlement) -> None:
        """Commit what ends the task that does not end by itself, give the rest back, and end the process."""
        self.exchange.commit(settlement)
        self.exchange.halt()
        self._app.driver.broker.leave(self.worker)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(EXPENDED)

    def abandon(self) -> None:
        """Give everything back, running tasks included, and end the process now."""
        emit("worker.stopping", how="cold")
        self.exchange.halt()
        self._app.driver.broker.leave(self.worker)
        os._exit(1)

    def handle_signals(self) -> None:
        """TERM and INT drain; a second INT, or QUIT, gives everything back and ends at once."""
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)
        signal.signal(signal.SIGQUIT, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGQUIT or (number == signal.SIGINT and self._signals):
            # The handler may interrupt code that holds a connection's lock; a thread of its own does not.
            threading.Thread(target=self.abandon, daemon=True).start()
            return
        if number == signal.SIGINT:
            self._signals += 1
        emit("worker.stopping", how="warm")
        self.stop()
