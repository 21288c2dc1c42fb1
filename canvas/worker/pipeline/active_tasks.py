"""The tasks of one process: those that run, those it holds, how many of each it has started."""

import os
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from canvas.app.application import Canvas
from canvas.errors import WireError
from canvas.model.message import Delivery, Message
from canvas.model.request import Request
from canvas.wire import task_message as wire
from canvas.worker.monitoring.shared_memory import ProcessStats
from canvas.worker.settlement.job import Job

_EXPIRED = 1_000
"""Ids of expired tasks that a process reports at most."""


class ActiveTasks:
    """Kept by the pipeline; read by remote control, from another thread."""

    def __init__(
        self,
        hostname: str,
        row: ProcessStats,
        number_of: Callable[[str], int] | None = None,
        one_at_a_time: bool = False,
    ) -> None:
        """``number_of``: the number of a lease, where the row is to name the task that runs, for a parent that may have
        to kill this process because of it. ``one_at_a_time``: one thread alone calls ``begin`` and ``end``."""
        self._number_of = number_of
        self.begin: Callable[[Job], None] = self._started if one_at_a_time else self._count_start
        """A task starts."""
        self.end: Callable[[Job], None] = self._ended if one_at_a_time else self._count_end
        """It is over."""
        self._hostname = hostname
        self._row = row
        self._counts = row.counts
        self._lock = threading.Lock()
        self._uncounted: deque[tuple[bool, Job]] = deque()
        """Tasks that start (True) or are over, until they are counted."""
        self._running: dict[Job, None] = {}
        self._number_started = 0
        self.total: Counter[str] = Counter()
        self._expired: deque[str] = deque(maxlen=_EXPIRED)
        self.leases: dict[str, Delivery] = {}

    def discarded(self, task_id: str, reason: str) -> None:
        """A message is discarded: its task is ``revoked``, or has ``expired``, which is reported."""
        if reason == "expired":
            self._expired.append(task_id)

    def _count_start(self, job: Job) -> None:
        self._uncounted.append((True, job))
        self._count()

    def _count_end(self, job: Job) -> None:
        self._uncounted.append((False, job))
        self._count()

    def _count(self) -> None:
        """Count the tasks that started and ended, or leave them to the thread that is counting: a thread that waited
        here, while that one waits for the interpreter, would have every other thread wait here too, task after task."""
        uncounted, lock = self._uncounted, self._lock
        while uncounted and lock.acquire(False):
            try:
                while uncounted:
                    starts, job = uncounted.popleft()
                    if starts:
                        self._started(job)
                    else:
                        self._ended(job)
            finally:
                lock.release()

    def _started(self, job: Job) -> None:
        self._number_started += 1
        self.total[job.message.task] += 1
        self._running[job] = None
        self._counts[0], self._counts[1] = self._number_started, len(self._running)
        if self._number_of is not None:
            self._row.set_deadline(self._number_of(job.delivery.tag), job.hard)

    def _ended(self, job: Job) -> None:
        del self._running[job]
        self._counts[1] = len(self._running)
        if self._number_of is not None:
            self._row.set_deadline(0, None)

    @property
    def started(self) -> int:
        """How many tasks this process has started."""
        return self._number_started

    def running(self) -> list[Job]:
        """The tasks that run."""
        return list(self._running)

    def state(self, open_message: Callable[[bytes], Message]) -> dict[str, Any]:
        """This process as JSON: ``pid``, ``active`` and ``reserved`` tasks, ``total`` by name (protocol.md §6), and
        the ids of tasks that expired."""
        running = self.running()
        active = {one.message.id for one in running}
        messages = opened(list(self.leases.values()), open_message)
        return {
            "pid": os.getpid(),
            "active": [task_info(one.message, self._hostname, one.began, one.early, os.getpid()) for one in running],
            "reserved": [task_info(m, self._hostname) for m in messages if m.id not in active],
            "total": dict(self.total),
            "expired": list(self._expired),
        }


def task_info(
    message: Message, hostname: str, since: float | None = None, acknowledged: bool = False, pid: int | None = None
) -> dict[str, Any]:
    """A task as remote control shows it; ``since`` (unix time) and ``pid`` of one that runs."""
    return {
        "id": message.id,
        "name": message.headers.get("shadow") or message.task,
        "args": list(message.args),
        "kwargs": message.kwargs,
        "type": message.task,
        "hostname": hostname,
        "time_start": since,
        "acknowledged": acknowledged,
        "delivery_info": Request(message).delivery_info,
        "worker_pid": pid,
    }


def opener(app: Canvas) -> Callable[[bytes], Message]:
    """Decodes messages in the form of the app's broker, within the app's limits."""
    conf, codec = app.conf, app.driver.broker.codec
    max_bytes, max_depth = conf.task_message_max_bytes, conf.task_message_max_depth
    read = partial(wire.decode, accept=app.accept_content, max_bytes=max_bytes, max_depth=max_depth, signer=app.signer)
    return lambda payload: read(codec.decode(payload, max_depth))


def opened(deliveries: Iterable[Delivery], open_message: Callable[[bytes], Message]) -> list[Message]:
    """The messages of deliveries, without those that cannot be opened."""
    found = []
    for delivery in deliveries:
        try:
            found.append(open_message(delivery.payload))
        except WireError:
            continue
    return found
