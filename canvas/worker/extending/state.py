"""``celery.worker.state``: the requests of this worker, and their counts, read at each use.

In the process of the node they cover all its processes; in a prefork child the task that runs there. Setting
``should_stop`` or ``should_terminate`` ends the worker.
"""

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, NamedTuple

from canvas.app.application import Canvas
from canvas.context import current_app, current_request, has_current_app
from canvas.exceptions import WorkerShutdown, WorkerTerminate
from canvas.remote.revocation_entries import revoked_ids
from canvas.worker.monitoring.heartbeat import IDENTITY
from canvas.worker.monitoring.shared_memory import SharedMemory
from canvas.worker.pools.child_commands import ReportState
from canvas.worker.pools.pool import Pool

SOFTWARE_INFO = IDENTITY


class _Here(NamedTuple):
    """The node of this process."""

    app: Canvas
    pool: Pool
    memory: SharedMemory
    pid: int


_node: list[_Here] = []


class StateRequest:
    """A task that a worker has taken: the fields that ``inspect active`` shows."""

    def __init__(self, info: dict[str, Any]) -> None:
        self._info = info
        self.id = self.task_id = info["id"]
        self.name = self.task_name = info["name"]
        self.args, self.kwargs = info["args"], info["kwargs"]
        self.type, self.hostname = info["type"], info["hostname"]
        self.time_start: float | None = info["time_start"]
        self.acknowledged: bool = info["acknowledged"]
        self.delivery_info = info["delivery_info"]
        self.worker_pid: int | None = info["worker_pid"]

    def info(self, safe: bool = False) -> dict[str, Any]:
        """All fields; with ``safe`` the arguments are text."""
        return {**self._info, "args": repr(self.args), "kwargs": repr(self.kwargs)} if safe else dict(self._info)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StateRequest) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"<Request: {self.name}[{self.id}]>"


class Revoked:
    """The ids of revoked tasks, kept in the broker."""

    def add(self, task_id: str) -> None:
        current_app().control.keep_revoked([task_id])

    def update(self, ids: Any) -> None:
        current_app().control.keep_revoked(list(ids))

    def __iter__(self) -> Iterator[str]:
        return iter(revoked_ids(current_app().driver.coordination.revoked()[1]) if has_current_app() else ())

    def __contains__(self, task_id: object) -> bool:
        return task_id in set(self)

    def __len__(self) -> int:
        return len(list(iter(self)))


revoked = Revoked()


def enter_node(app: Canvas, pool: Pool, memory: SharedMemory) -> None:
    """Let this module report on a node."""
    _node[:] = [_Here(app, pool, memory, os.getpid())]


def leave_node() -> None:
    _node.clear()


def _states() -> list[dict[str, Any]]:
    if not _node or _node[0].pid != os.getpid():
        return []
    return [state for state in _node[0].pool.ask(ReportState()) if "active" in state]


def _active() -> list[StateRequest]:
    states = _states()
    request = current_request()
    if states or request is None:
        return [StateRequest(info) for state in states for info in state["active"]]
    fields = ("id", "args", "kwargs", "hostname", "delivery_info")
    info = {name: getattr(request, name) for name in fields}
    more = {"name": request.task, "type": request.task, "time_start": None, "acknowledged": False}
    return [StateRequest({**info, **more, "worker_pid": os.getpid()})]


def _reserved() -> list[StateRequest]:
    return [*_active(), *(StateRequest(info) for state in _states() for info in state["reserved"])]


def _total_count() -> Counter[str]:
    states = _states()
    found = Counter(_node[0].memory.ended) if states else Counter()
    for state in states:
        found.update(state["total"])
    return found


_LIVE: dict[str, Callable[[], Any]] = {
    "active_requests": _active,
    "reserved_requests": _reserved,
    "scheduled_requests": list,
    "requests": lambda: {request.id: request for request in _reserved()},
    "total_count": _total_count,
    "all_total_count": lambda: [sum(_total_count().values())],
}
"""By name, the functions that read the values of this module."""
should_stop: Any = None
should_terminate: Any = None


def maybe_shutdown() -> None:
    """Raise WorkerShutdown or WorkerTerminate if ``should_stop`` or ``should_terminate`` is set."""
    if should_terminate not in (None, False):
        raise WorkerTerminate(should_terminate)
    if should_stop not in (None, False):
        raise WorkerShutdown(should_stop)


class _State(ModuleType):
    """This module: some of its names are read from the node, and setting two of them ends it."""

    def __getattr__(self, name: str) -> Any:
        if name in _LIVE:
            return _LIVE[name]()
        if name.startswith("task_"):
            raise AttributeError(
                f"canvas counts its tasks itself, and has no {name!r}: use signals, such as task_prerun"
            )
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name in ("should_stop", "should_terminate") and value not in (None, False) and _node:
            _node[0].pool.stop()


sys.modules[__name__].__class__ = _State
