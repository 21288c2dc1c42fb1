"""The workers and tasks that events describe, in bounded memory even where events are malformed or very long."""

import math
import time
from collections.abc import Iterable
from typing import Any

from canvas.remote.cluster_entries import Task, Worker
from canvas.remote.cluster_state import State
from canvas.remote.events import Event

_LONGEST = 2_000
"""Characters of a text that are kept; of a traceback ten times as many."""
_NAMES = 2_000
"""Names of tasks that are remembered without a task in memory."""
_TEXTS = frozenset({
    "uuid", "hostname", "name", "args", "kwargs", "eta", "expires", "result", "exception", "traceback", "exchange",
    "routing_key", "queue", "root_id", "parent_id", "group_id", "chord", "sw_ident", "sw_ver", "sw_sys", "signum",
})  # fmt: skip
_NUMBERS = frozenset({
    "timestamp", "local_received", "runtime", "retries", "clock", "utcoffset", "pid", "freq", "active", "processed",
    "rate_limit",
})  # fmt: skip
_FLAGS = frozenset({"terminated", "expired", "requeue"})
KINDS = frozenset({"sent", "received", "started", "succeeded", "failed", "retried", "revoked", "rejected"})
"""The kinds of a task's events that are counted."""


def cleaned(event: Event, now: float) -> Event | None:
    """An event with the fields that are known, each of its type and of bounded length; ``None`` for one that is neither
    a task's nor a worker's, or does not name its sender."""
    kind = event.get("type")
    if not isinstance(kind, str) or not isinstance(event.get("hostname"), str):
        return None
    group = kind.partition("-")[0]
    if group not in ("task", "worker") or (group == "task" and not isinstance(event.get("uuid"), str)):
        return None
    found: Event = {"type": kind[:200], "local_received": now}
    for name, value in event.items():
        if value is None or name == "local_received":
            continue
        if name in _TEXTS:
            text = value if isinstance(value, str) else repr(value)
            found[name] = text if len(text) <= _LONGEST else _shortened(name, text)
        elif name in _NUMBERS:
            if isinstance(value, int | float) and math.isfinite(value):
                found[name] = value
        elif name in _FLAGS:
            found[name] = bool(value)
        elif name == "loadavg" and isinstance(value, list | tuple):
            found[name] = [one for one in value[:3] if isinstance(one, int | float) and math.isfinite(one)]
    found.setdefault("timestamp", now)
    return found


def _shortened(name: str, text: str) -> str:
    longest = 10 * _LONGEST if name == "traceback" else _LONGEST
    return text if len(text) <= longest else f"{text[:longest]}…"


class Cluster(State):
    """The state of a cluster, with an index of the tasks that belong together."""

    def __init__(self, max_tasks: int, max_workers: int) -> None:
        super().__init__(max_tasks_in_memory=max_tasks, max_workers_in_memory=max_workers)
        self.by_root: dict[str, dict[str, None]] = {}
        """Ids of tasks by the id of their first task, in the order in which they became known."""
        self.by_run: dict[str, dict[str, None]] = {}
        """Ids of tasks by the part before their first point: in a task of a run, the id of the outermost run."""
        self.groups: dict[str, str] = {}
        """Groups of tasks, by the tasks' ids, as events of canvas' workers or the tasks' records name them."""
        self.revision = 0
        """Counts the batches of events."""
        self.malformed = 0

    def take(self, events: Iterable[Event]) -> list[tuple[Event, Task | Worker]]:
        """Apply events. Returns the valid ones, each with the task or the worker that it is about."""
        now = time.time()

        def take_all() -> list[tuple[Event, Task | Worker]]:
            taken = []
            for event in events:
                found = cleaned(event, now)
                if found is None:
                    self.malformed += 1
                    continue
                (entry, _), _ = self.event(found)
                if isinstance(entry, Task):
                    self._relate(entry)
                taken.append((found, entry))
            self.revision += 1
            return taken

        known: list[tuple[Event, Task | Worker]] = self.freeze_while(take_all)
        return known

    def _relate(self, task: Task) -> None:
        assert task.uuid is not None
        root = task.root_id or task.uuid
        if group := getattr(task, "group_id", None):
            self.groups[task.uuid] = group
        self.by_root.setdefault(root, {})[task.uuid] = None
        run, point, _ = task.uuid.partition(".")
        if point:
            self.by_run.setdefault(run, {})[task.uuid] = None

    def _unlist(self, task: Task) -> None:
        super()._unlist(task)
        uuid, root = task.uuid or "", task.root_id or task.uuid or ""
        for index, key in ((self.by_root, root), (self.by_root, uuid), (self.by_run, uuid.partition(".")[0])):
            members = index.get(key, {})
            members.pop(uuid, None)
            if not members:
                index.pop(key, None)
        self.groups.pop(uuid, None)
        for tasks in (self.tasks_by_type, self.tasks_by_worker):
            if len(tasks) > _NAMES:
                for name in [name for name, members in tasks.items() if not members]:
                    del tasks[name]

    def tasks_now(self) -> list[Task]:
        """All tasks that are in memory, in the order in which they became known."""
        known: list[Task] = self.freeze_while(lambda: list(self.tasks.values()))
        return known

    def task(self, uuid: str) -> Task | None:
        """A task, if it is in memory."""
        known: Task | None = self.freeze_while(self._peek, uuid)
        return known

    def workers_now(self) -> list[Worker]:
        """All workers that are in memory."""
        known: list[Worker] = self.freeze_while(lambda: list(self.workers.values()))
        return known

    def forget_worker(self, hostname: str) -> None:
        """Delete a worker; its tasks stay."""
        self.freeze_while(lambda: self.workers.pop(hostname, None))

    def related(self, root: str) -> list[Task]:
        """The tasks in memory whose root is this task."""
        return self._listed_in(self.by_root, root)

    def of_run(self, run: str) -> list[Task]:
        """The tasks in memory of a run of a workflow."""
        return [task for task in self._listed_in(self.by_run, run.partition(".")[0]) if str(task.uuid).startswith(run)]

    def _listed_in(self, index: dict[str, dict[str, None]], key: str) -> list[Task]:
        def look() -> list[Task]:
            return [task for uuid in index.get(key, ()) if (task := self._peek(uuid)) is not None]

        known: list[Task] = self.freeze_while(look)
        return known

    def _peek(self, uuid: str) -> Task | None:
        """A task. Unlike an ordinary look-up, this does not make it the most recently used one."""
        found: Any = dict.get(self.tasks, uuid)
        return found if isinstance(found, Task) else None
