"""``app.events.State``: what events say of workers and tasks, kept in memory, under Celery's names."""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from operator import attrgetter
from typing import Any

from canvas.remote.cluster_entries import Task as TaskEntry
from canvas.remote.cluster_entries import Worker as WorkerEntry
from canvas.remote.events import Event
from canvas.remote.lru import LRUCache


class _Index(defaultdict[str, set[TaskEntry]]):
    """Tasks by a name; called, they are listed by time."""

    def __init__(self, listed: Callable[..., Iterator[tuple[str, TaskEntry]]]) -> None:
        super().__init__(set)
        self._listed = listed

    def __call__(self, name: str, limit: int | None = None, reverse: bool = True) -> Iterator[tuple[str, TaskEntry]]:
        return self._listed(self.get(name, set()), limit, reverse)


class State:
    """Workers by host name and tasks by id; the oldest are forgotten above ``max_…_in_memory``."""

    Worker = WorkerEntry
    Task = TaskEntry

    def __init__(
        self, callback: Callable[["State", Event], Any] | None = None, workers: Any = None, tasks: Any = None,
        taskheap: Any = None, max_workers_in_memory: int = 5000, max_tasks_in_memory: int = 10_000,
        on_node_join: Callable[[WorkerEntry], Any] | None = None,
        on_node_leave: Callable[[WorkerEntry], Any] | None = None,
        tasks_by_type: Mapping[str, Iterable[TaskEntry]] | None = None,
        tasks_by_worker: Mapping[str, Iterable[TaskEntry]] | None = None,
    ) -> None:  # fmt: skip
        """``callback`` is called with each event; ``on_node_join`` and ``on_node_leave`` with workers.

        ``workers``, ``tasks``, ``tasks_by_type`` and ``tasks_by_worker``: what the state knows at first. ``taskheap``
        has no effect: tasks are sorted when they are listed.
        """
        self.event_callback = callback
        self.workers: LRUCache[str, WorkerEntry] = LRUCache(max_workers_in_memory)
        self.tasks: LRUCache[str, TaskEntry] = LRUCache(max_tasks_in_memory)
        self.workers.update(workers or {})
        self.tasks.update(tasks or {})
        self.max_workers_in_memory, self.max_tasks_in_memory = max_workers_in_memory, max_tasks_in_memory
        self.on_node_join, self.on_node_leave = on_node_join, on_node_leave
        self.event_count = self.task_count = 0
        self.tasks_by_type = _Index(self._listed)
        self.tasks_by_worker = _Index(self._listed)
        self._seen_types: set[str] = set()
        self._homes: dict[str | None, list[set[TaskEntry]]] = {}
        """The parts of the indexes that have a task, by the task's id."""
        for index, known in ((self.tasks_by_type, tasks_by_type), (self.tasks_by_worker, tasks_by_worker)):
            for name, listed in (known or {}).items():
                for task in listed:
                    self._put(task, index[name])
        self.handlers: dict[str, Callable[..., Any]] = {}
        self._mutex = threading.RLock()
        for task in list(self.tasks.values()):
            task.join(self.tasks)
            self._list(task)

    def __reduce__(self) -> tuple[Any, ...]:
        kept = (self.event_callback, dict(self.workers), dict(self.tasks), None, self.max_workers_in_memory)
        return type(self), (*kept, self.max_tasks_in_memory, self.on_node_join, self.on_node_leave)

    def event(self, event: Event) -> Any:
        """Take an event. Returns the task or worker that it is about, and whether that is new."""
        with self._mutex:
            return self._event(event)

    def _event(self, event: Event) -> Any:
        """``event``, for programs that hold ``_mutex``, as exporters of metrics do."""
        self.event_count += 1
        if self.event_callback:
            self.event_callback(self, event)
        group, _, subject = event["type"].partition("-")
        if group in self.handlers:
            return self.handlers[group](subject, event), subject
        if group == "worker":
            return self._worker_event(subject, event), subject
        return (self._task_event(subject, event), subject) if group == "task" else (None, subject)

    def task_event(self, type_: str, fields: Event) -> Any:
        """Take an event of a task, by the part of its type after ``task-``."""
        return self.event({**fields, "type": f"task-{type_}"})[0]

    def worker_event(self, type_: str, fields: Event) -> Any:
        """Take an event of a worker, by the part of its type after ``worker-``."""
        return self.event({**fields, "type": f"worker-{type_}"})[0]

    def _worker_event(self, subject: str, event: Event) -> tuple[WorkerEntry, bool]:
        offline, hostname = subject == "offline", event["hostname"]
        if offline and hostname not in self.workers:
            worker, created = self.Worker(hostname), False
        else:
            worker, created = self.get_or_create_worker(hostname)
        worker.event(subject, event.get("timestamp"), event.get("local_received"), event)
        if self.on_node_join and (created or subject == "online"):
            self.on_node_join(worker)
        if self.on_node_leave and offline:
            # A program without this callback sees from the list which workers have left.
            self.on_node_leave(worker)
            self.workers.pop(hostname, None)
        return worker, created

    def _task_event(self, subject: str, event: Event) -> tuple[TaskEntry, bool]:
        task, created = self.get_or_create_task(event["uuid"])
        if subject == "sent":
            task.client = event["hostname"]
        else:
            worker, _ = self.get_or_create_worker(event["hostname"])
            task.worker = worker
            worker.event("", event.get("timestamp"), event.get("local_received"), {})
        self.task_count += subject == "received"
        task.event(subject, event.get("timestamp"), event.get("local_received"), event)
        self._list(task)
        task.join(self.tasks)
        return task, created

    def get_or_create_worker(self, hostname: str, **fields: Any) -> tuple[WorkerEntry, bool]:
        """A worker, and whether it is new."""
        worker = self.workers.get(hostname)
        created = worker is None
        if worker is None:
            worker = self.workers[hostname] = self.Worker(hostname)
        if fields:
            worker.update(fields)
        return worker, created

    def get_or_create_task(self, uuid: str) -> tuple[TaskEntry, bool]:
        """A task, and whether it is new."""
        task = self.tasks.get(uuid)
        created = task is None
        if task is None:
            if len(self.tasks) == self.max_tasks_in_memory:
                self._unlist(next(iter(self.tasks.values())))
            task = self.tasks[uuid] = self.Task(uuid, self.tasks)
        return task, created

    def _list(self, task: TaskEntry) -> None:
        """Put a task into the indexes."""
        name = getattr(task, "name", None)
        if name is not None:
            self._seen_types.add(name)
            self._put(task, self.tasks_by_type[name])
        if task.worker is not None:
            self._put(task, self.tasks_by_worker[task.worker.hostname or ""])

    def _put(self, task: TaskEntry, part: set[TaskEntry]) -> None:
        homes = self._homes.setdefault(task.uuid, [])
        if not any(part is home for home in homes):
            homes.append(part)
            part.add(task)

    def _unlist(self, task: TaskEntry) -> None:
        """Take a task out of the indexes; it is about to be forgotten."""
        for part in self._homes.pop(task.uuid, ()):
            part.discard(task)
        if task.parent is not None:
            task.parent.children.discard(task)

    def freeze_while(self, fun: Callable[..., Any], *args: Any, clear_after: bool = False, **kwargs: Any) -> Any:
        """Call ``fun`` while no event changes the state; ``clear_after``: clear the state then."""
        with self._mutex:
            try:
                return fun(*args, **kwargs)
            finally:
                if clear_after:
                    self._clear()

    def clear_tasks(self, ready: bool = True) -> None:
        """Forget the tasks that have ended; without ``ready`` all tasks."""
        with self._mutex:
            self._clear_tasks(ready)

    def _clear_tasks(self, ready: bool = True) -> None:
        """``clear_tasks``, for subclasses that have more to clear."""
        for uuid in [uuid for uuid, task in self.tasks.items() if task.ready or not ready]:
            del self.tasks[uuid]
            self._homes.pop(uuid, None)
        left = set(self.tasks.values())
        for index in (self.tasks_by_type, self.tasks_by_worker):
            for known in index.values():
                known.intersection_update(left)

    def clear(self, ready: bool = True) -> None:
        """``clear_tasks``, and forget all workers."""
        with self._mutex:
            self._clear(ready)

    def _clear(self, ready: bool = True) -> None:
        self.workers.clear()
        self._clear_tasks(ready)
        self.event_count = self.task_count = 0

    def _listed(self, tasks: Any, limit: int | None, reverse: bool) -> Iterator[tuple[str, TaskEntry]]:
        known = [task for task in tasks if getattr(task, "timestamp", None) is not None]
        ordered = sorted(known, key=attrgetter("timestamp"), reverse=reverse)
        return iter([(task.uuid or "", task) for task in ordered[:limit]])

    def tasks_by_time(self, limit: int | None = None, reverse: bool = True) -> Iterator[tuple[str, TaskEntry]]:
        """Pairs of id and task by the time of their last events, the latest first."""
        return self._listed(self.tasks.values(), limit, reverse)

    tasks_by_timestamp = tasks_by_time

    def itertasks(self, limit: int | None = None) -> Iterator[tuple[str, TaskEntry]]:
        """Pairs of id and task."""
        return iter(list(self.tasks.items())[:limit])

    def task_types(self) -> list[str]:
        """The names of the tasks that events have named."""
        return sorted(self._seen_types)

    def alive_workers(self) -> Iterator[WorkerEntry]:
        """The workers whose last heartbeat is recent."""
        return iter([worker for worker in self.workers.values() if worker.alive])

    def __repr__(self) -> str:
        return f"<State: events={self.event_count} tasks={self.task_count}>"
