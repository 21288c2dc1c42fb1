"""Time limits of running tasks: soft ones raise in the task, hard ones end it and, with it, the process it blocks."""

import ctypes
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any

from canvas.errors import SoftTimeLimitExceeded, TimeLimitExceeded
from canvas.execution.background import NEVER, BackgroundService, Repeated
from canvas.execution.cancellation import running_by_thread
from canvas.model.message import Message
from canvas.model.outcome import Failure, Outcome, Rejected
from canvas.telemetry import emit
from canvas.worker.pipeline.admission import acks_late
from canvas.worker.settlement.job import Job
from canvas.worker.signal_handlers import dump, handle

_WAITS_WITHIN = 0.2
"""Seconds."""


class TimeLimitGuard:
    """One running task's limits, as monotonic times."""

    __slots__ = ("expire", "hard_at", "interrupted", "message", "open", "soft", "soft_at", "thread")

    def __init__(
        self, message: Message, soft: float | None, hard: float | None, expire: Callable[[], None] | None
    ) -> None:
        now = time.monotonic()
        self.thread = threading.get_ident()
        self.message = message
        self.soft = soft
        self.soft_at = now + soft if soft else None
        self.hard_at = now + hard if hard and expire is not None else None
        self.expire = expire
        self.open = True
        self.interrupted = False
        """The loop interrupts its coroutine as soon as that awaits."""

    def next_at(self) -> float | None:
        """When something is due."""
        times = [at for at in (self.soft_at, self.hard_at) if at is not None]
        return min(times) if times else None


class TimeLimits:
    """Watches the tasks of one process, on a thread that starts with the first limit.

    In the main thread a soft limit arrives by signal (SIGUSR1), so that it also ends a blocking call; elsewhere as an
    asynchronous exception, which Python raises at the next bytecode. A coroutine is interrupted by its loop while it
    awaits; if it has not awaited for a while, in the same way as others.
    """

    def __init__(self) -> None:
        self._guards: set[TimeLimitGuard] = set()
        self._lock = threading.RLock()
        self._service = BackgroundService("limits", Repeated("time limits", self._look))
        self._current: TimeLimitGuard | None = None
        self._sent = 0
        """Signals of soft limits that are on their way."""

    def listen(self) -> None:
        """Take SIGUSR1 for soft limits; call it in the main thread. From outside it shows what every thread does."""
        handle({signal.SIGUSR1: self._on_signal})

    def watching(
        self, message: Message, soft: float | None, hard: float | None, end: Callable[[], None] | None
    ) -> Callable[[Callable[[], Any]], Any]:
        """Calls a function within these limits, in seconds. ``end`` ends the task at the hard one, from outside."""

        def expire() -> None:
            emit("task.timeout", message=message, limit=hard)
            assert end is not None
            end()

        def watched(call: Callable[[], Any]) -> Any:
            with self.guard(message, soft, hard, expire if end is not None else None):
                return call()

        return watched

    @contextmanager
    def guard(
        self, message: Message, soft: float | None, hard: float | None, expire: Callable[[], None] | None
    ) -> Iterator[None]:
        """Limits for the code inside, seconds; ``expire`` is called (on another thread) at the hard one."""
        if not soft and not (hard and expire is not None):
            yield
            return
        guard = TimeLimitGuard(message, soft, hard, expire)
        main = threading.current_thread() is threading.main_thread()
        if main:
            self._current = guard
        with self._lock:
            self._guards.add(guard)
        self._service.start()
        self._service.wake()
        try:
            try:
                yield
            finally:
                self._close(guard)
        finally:
            # A soft limit may arrive in the very step between the task's end and the first attempt.
            self._close(guard)

    def _close(self, guard: TimeLimitGuard) -> None:
        """Nothing of this guard arrives any more, not even what is on its way."""
        while guard.open:
            try:
                with self._lock:
                    self._current = None if self._current is guard else self._current
                    self._guards.discard(guard)
                    guard.open = False
                    _clear(guard.thread)
            except SoftTimeLimitExceeded:
                continue

    def _look(self) -> float:
        """End the tasks whose limits have passed. Returns the seconds until the next limit."""
        with self._lock:
            expired, passed = self._due()
        # Listeners run without the lock, which the end of every task needs.
        for guard in passed:
            if not guard.interrupted:
                emit("task.soft_timeout", message=guard.message, limit=guard.soft)
            with self._lock:
                if guard.open:
                    self._raise_soft(guard)
        for guard in expired:
            assert guard.expire is not None
            guard.expire()
        with self._lock:
            times = [at for at in (guard.next_at() for guard in self._guards) if at is not None]
        return max(0.0, min(times) - time.monotonic()) if times else NEVER

    def _due(self) -> tuple[list[TimeLimitGuard], list[TimeLimitGuard]]:
        """The tasks whose hard limit has passed, and those whose soft limit has."""
        now = time.monotonic()
        expired: list[TimeLimitGuard] = []
        passed: list[TimeLimitGuard] = []
        for guard in self._guards:
            if guard.hard_at is not None and guard.hard_at <= now:
                guard.hard_at = None
                expired.append(guard)
            elif guard.soft_at is not None and guard.soft_at <= now:
                guard.soft_at = None
                passed.append(guard)
        return expired, passed

    def _raise_soft(self, guard: TimeLimitGuard) -> None:
        coroutine = running_by_thread.get(guard.thread)
        if coroutine is not None and not guard.interrupted:
            guard.interrupted, guard.soft_at = True, time.monotonic() + _WAITS_WITHIN
            coroutine.interrupt(SoftTimeLimitExceeded(), partial(self._is_wanted, guard))
        elif guard is self._current:
            self._sent += 1
            signal.pthread_kill(guard.thread, signal.SIGUSR1)
        else:
            raised = ctypes.py_object(SoftTimeLimitExceeded)
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(guard.thread), raised)

    def _is_wanted(self, guard: TimeLimitGuard) -> bool:
        """Whether a soft limit that has passed must still be raised in the task; the caller raises it."""
        with self._lock:
            wanted = guard.open and guard.soft_at is not None
            guard.soft_at = None
            return wanted

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        guard = self._current
        if guard is not None and guard.open and guard.soft_at is None:
            self._sent = 0
            raise SoftTimeLimitExceeded()
        if self._sent:
            self._sent -= 1  # its task has ended meanwhile
        else:
            dump(number, frame)


def _clear(thread: int) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), None)


def outcome_to_settle(job: Job, failure: Failure) -> Outcome:
    """The failure, except for a task that its hard limit ended and that is to run again then."""
    task, exc = job.task, failure.exc
    if isinstance(exc, TimeLimitExceeded) and task and not task.acks_on_timeout and acks_late(task, job.message):
        return Rejected(exc, requeue=True)
    return failure
