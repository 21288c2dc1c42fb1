"""How one process of a worker ends: by a signal, by a task that does not end, or because it has nothing left to do."""

import signal
import threading
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any

from canvas.app.application import Canvas
from canvas.model.settlement import ChordDispatch, ReadyChord, Settlement
from canvas.telemetry import emit
from canvas.worker.consumer.loop import ConsumerLoop
from canvas.worker.consumer.repeated_calls import report_sent
from canvas.worker.logs.streams import flush
from canvas.worker.monitoring.event_dispatcher import TaskEvents
from canvas.worker.pipeline.active_tasks import ActiveTasks
from canvas.worker.pipeline.daemon_processes import exit_at_once
from canvas.worker.stopping import EXIT_TIME_LIMIT, LEAVES_WITHIN, announce_stop, call_within, remapped

_WARM_LEAVES_WITHIN = 10.0
"""``LEAVES_WITHIN`` after a warm stop, when a slow server is worth waiting for."""


class ProcessShutdown:
    """The ways in which one process ends."""

    def __init__(
        self,
        app: Canvas,
        hostname: str,
        worker: str,
        loop: ConsumerLoop,
        events: TaskEvents,
        active: ActiveTasks,
        final_stats: Callable[[dict[str, Any]], None] | None,
        complete_chord: Callable[[ReadyChord], ChordDispatch],
    ) -> None:
        """``final_stats`` gets the process's totals as it ends. A prefork child has it; its parent reports its end.
        ``complete_chord`` makes the messages that end a chord."""
        self._app = app
        self._hostname = hostname
        self._worker = worker
        self._loop = loop
        self._events = events
        self._active = active
        self._final_stats = final_stats
        self._complete_chord = complete_chord
        self._interrupts = self._attempts = 0
        self._cold_shutdowns: list[threading.Thread] = []

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        """End as a signal asks."""
        number = remapped(number)
        if number == signal.SIGQUIT or (number == signal.SIGINT and self._interrupts):
            # The handler may interrupt code that holds a connection's lock; a thread of its own does not.
            self._cold_shutdowns.append(threading.Thread(target=self.cold_shutdown, daemon=True))
            self._cold_shutdowns[-1].start()
            return
        if number == signal.SIGINT:
            self._interrupts += 1
        self.warm_shutdown()

    def warm_shutdown(self) -> None:
        """Start nothing more, and report that."""
        self._loop.stop()
        if self._final_stats is None:
            announce_stop("warm", self._hostname)

    def finish_warm_shutdown(self, registered: bool) -> None:
        """Leave the broker after everything is settled. Does not return if the process ends at once meanwhile."""
        for thread in self._cold_shutdowns:
            thread.join()  # it ends the process, unless everything was done in time
        if registered:
            self._leave(_WARM_LEAVES_WITHIN)
        self._report_final_stats()

    def exit_with(self, settlement: Settlement) -> None:
        """Commit the settlement of a task that does not stop, give the rest back, and end the process."""
        code = 1
        try:
            self._loop.commit(settlement)
            self._events.close()
            self._loop.abort()
            call_within(LEAVES_WITHIN, self._complete_chords)
            self._leave(LEAVES_WITHIN)
            self._report_final_stats()
            code = EXIT_TIME_LIMIT
            flush()
        finally:
            # The task that did not end runs on until then, whatever raises here.
            exit_at_once(code)

    def _complete_chords(self) -> None:
        """End the chords that the last settlement has made ready: other processes look only for those that have been
        ready for seconds. Raises BrokerError."""
        ready = self._loop.unstarted_chords()
        while ready:
            dispatch = self._complete_chord(ready.pop())
            verdict = self._app.driver.settler.dispatch_chord(dispatch)
            if verdict.held and not verdict.refused:
                report_sent(dispatch)
            ready.extend(verdict.ready)

    def cold_shutdown(self) -> None:
        """Give everything back, running tasks included, and end the process: at once, or after the tasks that run have
        had the seconds of ``worker_soft_shutdown_timeout`` to end. The second call does not wait."""
        timeout = self._app.conf.worker_soft_shutdown_timeout
        self._attempts += 1
        if timeout > 0 and self._attempts == 1:
            self._announce("soft")
            self._loop.stop()
            self._loop.join(timeout)
            if not self._loop.is_alive():
                return
        try:
            self._announce("cold")
            report = report_returned(self._active)
            self._loop.abort()
            self._leave(LEAVES_WITHIN)
            report()
        finally:
            exit_at_once(1)

    def _announce(self, how: str) -> None:
        if self._final_stats is None:
            emit("worker.stopping", how=how, hostname=self._hostname)

    def _leave(self, within: float) -> None:
        """Give everything back. If the broker does not answer within these seconds, other workers do it later."""
        call_within(within, partial(self._app.driver.recovery.unregister, self._worker))

    def _report_final_stats(self) -> None:
        if self._final_stats is not None:
            self._final_stats({"total": dict(self._active.total)})


def report_returned(active_tasks: ActiveTasks) -> Callable[[], None]:
    """Note, at a cold stop, which messages a process holds. Returns a function that reports them as returned."""
    running = active_tasks.running()
    returned = [one for one in running if not one.early]
    waiting = max(0, len(active_tasks.leases) - len(returned))

    def report() -> None:
        if running or waiting:
            emit("worker.returned", running=_names(returned), waiting=waiting,
                 ended=_names(one for one in running if one.early))  # fmt: skip

    return report


def _names(found: Any) -> list[str]:
    return [f"{one.message.headers.get('shadow') or one.message.task}[{one.message.id}]" for one in found]
