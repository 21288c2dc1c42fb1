"""Workers and tasks as their events describe them, under Celery's names."""

import time
from collections.abc import Mapping
from typing import Any

from canvas.model import states
from canvas.remote.events import Event

HEARTBEAT_EXPIRE_WINDOW = 200
"""Per cent of a worker's heartbeat interval after which it counts as offline."""
TASK_EVENT_TO_STATE = {
    "sent": states.PENDING, "received": states.RECEIVED, "started": states.STARTED, "failed": states.FAILURE,
    "retried": states.RETRY, "succeeded": states.SUCCESS, "revoked": states.REVOKED, "rejected": states.REJECTED,
}  # fmt: skip
_FROM_RECEIVED = ("name", "args", "kwargs", "parent_id", "root_id", "retries", "eta", "expires")
"""Fields that a task takes from ``task-received`` whenever that event arrives."""


def heartbeat_expires(timestamp: float, freq: float = 60, expire_window: float = HEARTBEAT_EXPIRE_WINDOW) -> float:
    """The unix time at which a worker with this heartbeat counts as offline."""
    return float(timestamp) + float(freq) * expire_window / 100


class Worker:
    """A worker, as its events describe it."""

    _fields = (
        "hostname", "pid", "freq", "heartbeats", "clock", "active", "processed", "loadavg", "sw_ident", "sw_ver",
        "sw_sys",
    )  # fmt: skip
    heartbeat_max = 4
    expire_window = HEARTBEAT_EXPIRE_WINDOW

    def __init__(
        self, hostname: str | None = None, pid: int | None = None, freq: float = 60,
        heartbeats: list[float] | None = None, clock: int = 0, active: int | None = None, processed: int | None = None,
        loadavg: Any = None, sw_ident: str | None = None, sw_ver: str | None = None, sw_sys: str | None = None,
    ) -> None:  # fmt: skip
        self.hostname, self.pid, self.freq, self.clock = hostname, pid, freq, clock
        self.heartbeats = list(heartbeats or ())
        self.active, self.processed, self.loadavg = active, processed, loadavg
        self.sw_ident, self.sw_ver, self.sw_sys = sw_ident, sw_ver, sw_sys

    def event(
        self, type_: str, timestamp: float | None = None, local_received: float | None = None,
        fields: Event | None = None,
    ) -> None:  # fmt: skip
        """Take an event of the worker, such as ``online``."""
        self.update(fields or {})
        if type_ == "offline":
            self.heartbeats.clear()
        elif local_received and timestamp:
            self.heartbeats = sorted([*self.heartbeats, local_received])[-self.heartbeat_max :]

    def update(self, f: Event, **fields: Any) -> None:
        """Set attributes, from the mapping ``f`` and from keywords."""
        self.__dict__.update(f, **fields)

    @property
    def heartbeat_expires(self) -> float:
        return heartbeat_expires(self.heartbeats[-1], self.freq, self.expire_window)

    @property
    def alive(self) -> bool:
        """Whether its last heartbeat is recent."""
        return bool(self.heartbeats) and time.time() < self.heartbeat_expires

    @property
    def status_string(self) -> str:
        return "ONLINE" if self.alive else "OFFLINE"

    @property
    def id(self) -> str:
        return f"{self.hostname}.{self.pid}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Worker) and other.hostname == self.hostname

    def __hash__(self) -> int:
        return hash(self.hostname)

    def __repr__(self) -> str:
        return f"<Worker: {self.hostname} ({self.status_string} clock:{self.clock})"


class Task:
    """A task, as its events describe it."""

    _fields = (
        "uuid", "name", "state", "received", "sent", "started", "rejected", "succeeded", "failed", "retried", "revoked",
        "args", "kwargs", "eta", "expires", "retries", "worker", "result", "exception", "timestamp", "runtime",
        "traceback", "exchange", "routing_key", "clock", "client", "root_id", "parent_id",
    )  # fmt: skip
    _info_fields = (
        "args", "kwargs", "retries", "result", "eta", "runtime", "expires", "exception", "exchange", "routing_key",
        "root_id", "parent_id",
    )  # fmt: skip
    worker: Worker | None
    client: str | None
    root_id: str | None
    parent_id: str | None
    timestamp: float | None
    name: str | None
    args: str | None
    kwargs: str | None
    result: str | None
    exception: str | None
    traceback: str | None
    routing_key: str | None
    eta: str | None
    retries: int | None
    sent: float | None
    received: float | None
    started: float | None
    runtime: float | None

    def __init__(
        self, uuid: str | None = None, tasks: "Mapping[str, Task] | None" = None, children: Any = None, **fields: Any
    ) -> None:
        self.__dict__.update(dict.fromkeys(self._fields), state=states.PENDING, clock=0)
        self.uuid = uuid
        self.state = states.PENDING
        self._tasks = {} if tasks is None else tasks
        self.children: set[Task] = set(children or ())
        self.__dict__.update(fields)

    def event(
        self, type_: str, timestamp: float | None = None, local_received: float | None = None,
        fields: Event | None = None,
    ) -> None:  # fmt: skip
        """Take an event of the task, such as ``started``. Events may arrive out of order: an earlier state does not
        replace a later one."""
        found, state = dict(fields or {}), TASK_EVENT_TO_STATE.get(type_)
        if state is not None:
            setattr(self, type_, timestamp)
        else:
            state = type_.upper()
        earlier = states.precedence(state) > states.precedence(self.state)
        if earlier and states.RETRY not in (state, self.state):
            if state == states.RECEIVED:
                found = {name: value for name, value in found.items() if name in _FROM_RECEIVED}
        else:
            found |= {"state": state, "timestamp": timestamp}
        self.__dict__.update(found)

    def info(self, fields: Any = None, extra: Any = None) -> dict[str, Any]:
        """The fields to show, without those that are None."""
        names = [*(self._info_fields if fields is None else fields), *(extra or ())]
        return {name: value for name in names if (value := getattr(self, name, None)) is not None}

    def as_dict(self) -> dict[str, Any]:
        """All fields; tasks by their ids."""
        found = {name: getattr(self, name) for name in self._fields}
        return {**found, "root": self.root_id, "parent": self.parent_id, "children": [one.id for one in self.children]}

    @property
    def id(self) -> str | None:
        return self.uuid

    @property
    def origin(self) -> str | None:
        return self.client if self.worker is None else self.worker.id

    @property
    def ready(self) -> bool:
        return self.state in states.READY_STATES

    @property
    def parent(self) -> "Task | None":
        """The task that sent it, if it is known."""
        return self._known(self.parent_id)

    @property
    def root(self) -> "Task | None":
        """The first task of its workflow, if it is known."""
        return self._known(self.root_id)

    def _known(self, uuid: str | None) -> "Task | None":
        return None if uuid is None else self._tasks.get(uuid)

    def join(self, tasks: "Mapping[str, Task]") -> None:
        """Belong to ``tasks``, in which the task finds its parent, and be a child of that."""
        self._tasks = tasks
        if self.parent is not None:
            self.parent.children.add(self)

    def __reduce__(self) -> tuple[Any, ...]:
        """Without its relatives: the state that it belongs to makes it ``join`` them again."""
        fields = {name: value for name, value in self.__dict__.items() if name not in ("_tasks", "children")}
        return type(self), (self.uuid,), fields

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Task) and other.uuid == self.uuid

    def __hash__(self) -> int:
        return hash(self.uuid)

    def __repr__(self) -> str:
        return f"<Task: {getattr(self, 'name', None)}({self.uuid}) {self.state} clock:{getattr(self, 'clock', 0)}>"
