"""What one process is doing: the tasks that run, those it holds, how many of each it has begun."""

import os
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from canvas.app.application import Canvas
from canvas.errors import WireError
from canvas.model.message import Delivery, Message
from canvas.model.request import Request
from canvas.wire import task_message as wire
from canvas.worker.pools.shared_memory import ProcessStats


class ActiveTask:
    """One task that runs."""

    __slots__ = ("acknowledged", "hard", "message", "since", "tag", "terminate")

    def __init__(
        self,
        message: Message,
        acknowledged: bool,
        terminate: Callable[[], object] | None,
        tag: str,
        hard: float | None,
    ) -> None:
        """``hard``: the seconds after which it is ended."""
        self.message = message
        self.tag = tag
        self.hard = hard
        self.since = time.time()
        self.acknowledged = acknowledged
        self.terminate = terminate


class ActiveTasks:
    """Kept by the line; read by remote control, from another thread."""

    def __init__(self, hostname: str, row: ProcessStats, number_of: Callable[[str], int] | None = None) -> None:
        """``number_of``: the number of a lease, where the row is to name what runs, for a parent that may have to kill
        this process for it."""
        self._number_of = number_of
        self._hostname = hostname
        self._row = row
        self._lock = threading.Lock()
        self._told: deque[tuple[bool, ActiveTask]] = deque()
        """What starts (True) or is over, until it is counted."""
        self._running: dict[ActiveTask, None] = {}
        self._begun = 0
        self.total: Counter[str] = Counter()
        self.held: dict[str, Delivery] = {}

    def begin(self, running: ActiveTask) -> None:
        """A task starts."""
        self._told.append((True, running))
        self._count()

    def end(self, running: ActiveTask) -> None:
        """It is over."""
        self._told.append((False, running))
        self._count()

    def _count(self) -> None:
        """Count what was told, or leave it to the thread that is counting: one that waited here, while that one waits
        for the interpreter, would have every other thread wait here too, task after task."""
        told, lock = self._told, self._lock
        while told and lock.acquire(False):
            try:
                while told:
                    starts, running = told.popleft()
                    if starts:
                        self._begun += 1
                        self.total[running.message.task] += 1
                        self._running[running] = None
                    else:
                        del self._running[running]
                    if self._number_of is not None:
                        number = self._number_of(running.tag) if starts else 0
                        self._row.stand(number, running.hard if starts else None)
                self._row.write(self._begun, len(self._running))
            finally:
                lock.release()

    @property
    def begun(self) -> int:
        """How many tasks this process has begun."""
        return self._begun

    def running(self) -> list[ActiveTask]:
        """The tasks that run."""
        return list(self._running)

    def state(self, open_message: Callable[[bytes], Message]) -> dict[str, Any]:
        """This process as JSON: ``pid``, ``active`` and ``reserved`` tasks, ``total`` by name (protocol.md §6)."""
        running = self.running()
        active = {one.message.id for one in running}
        messages = opened(list(self.held.values()), open_message)
        return {
            "pid": os.getpid(),
            "active": [
                task_info(one.message, self._hostname, one.since, one.acknowledged, os.getpid()) for one in running
            ],
            "reserved": [task_info(m, self._hostname) for m in messages if m.id not in active],
            "total": dict(self.total),
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
