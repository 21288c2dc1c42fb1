"""``Scheduler``: a class that decides what is due, and sends it. Programs override its methods.

It keeps its state in its own process, so one beat may run. Without such a class, beat keeps schedules in the store.
"""

import copy
import heapq
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, Protocol

from canvas.beat.arguments import evaluated_call
from canvas.beat.configured_entries import SetupApp, with_cleanup
from canvas.beat.log import connection_lost, logger, not_computed
from canvas.beat.scheduler_classes.entries import ScheduleEntry, SchedulingError, event_t
from canvas.beat.tick_messages import BEAT_HEADER
from canvas.errors import OperationalError
from canvas.schedules.base_schedule import maybe_make_aware

DEFAULT_MAX_INTERVAL = 300
"""Seconds that a scheduler waits at most before it looks at its entries again."""
_PRIORITY = 5


class SchedulerApp(SetupApp, Protocol):
    """The parts of an app that a scheduler needs."""

    def send_task(self, name: str, *args: Any, **options: Any) -> Any: ...

    def connection_for_write(self) -> Any: ...


class Scheduler:
    """Keeps entries in memory, and sends those that are due."""

    Entry: Any = ScheduleEntry
    max_interval: float = DEFAULT_MAX_INTERVAL
    sync_every: float = 180
    """Seconds between two calls of ``sync``."""
    sync_every_tasks: int | None = None
    """How many tasks are sent between two calls of ``sync``; any number without it."""
    logger = logger
    _last_sync: float | None = None
    _tasks_since_sync = 0

    def __init__(
        self, app: SchedulerApp, schedule: Any = None, max_interval: float | None = None, Producer: Any = None,
        lazy: bool = False, sync_every_tasks: int | None = None, **options: Any,
    ) -> None:  # fmt: skip
        """``lazy``: do not set up the schedule. ``Producer``: a class of kombu producers, which tasks are sent with;
        without it they are sent over the app's own connections."""
        self.app = app
        self.data: Any = {} if schedule is None else schedule
        self.max_interval = max_interval or app.conf.beat_max_loop_interval or self.max_interval
        self.Producer = Producer
        self.sync_every_tasks = app.conf.beat_sync_every if sync_every_tasks is None else sync_every_tasks
        self.old_schedulers: Any = None
        self._heap: list[Any] | None = None
        if not lazy:
            self.setup_schedule()

    def get_schedule(self) -> Any:
        return self.data

    def set_schedule(self, schedule: Any) -> None:
        self.data = schedule

    schedule = property(get_schedule, set_schedule)
    """The entries, by name."""

    def setup_schedule(self) -> None:
        """Called once: fill ``schedule``."""
        self.install_default_entries(self.data)
        self.merge_inplace(self.app.conf.beat_schedule)

    def install_default_entries(self, data: Mapping[str, Any]) -> None:
        """Add the entry that deletes old results, where the result backend does not do that itself."""
        wanted = with_cleanup(self.app, dict.fromkeys(data))
        self.update_from_dict({name: entry for name, entry in wanted.items() if name not in data})

    def update_from_dict(self, dict_: Mapping[str, Any]) -> None:
        """Add entries, given as such or as mappings."""
        self.schedule.update({name: self._maybe_entry(name, entry) for name, entry in dict_.items()})

    def merge_inplace(self, b: Mapping[str, Any]) -> None:
        """Have ``schedule`` hold the entries of ``b`` and no others; entries that it has keep when they ran last."""
        schedule = self.schedule
        for name in set(schedule) - set(b):
            schedule.pop(name, None)
        for name, fields in b.items():
            entry = self.Entry(**{**dict(fields), "name": name, "app": self.app})
            if schedule.get(name):
                schedule[name].update(entry)
            else:
                schedule[name] = entry

    def _maybe_entry(self, name: str, entry: Any) -> Any:
        if isinstance(entry, self.Entry):
            entry.app = self.app
            return entry
        return self.Entry(**{**dict(entry), "name": name, "app": self.app})

    def add(self, **fields: Any) -> Any:
        """Add an entry; it is returned."""
        entry = self.Entry(app=self.app, **fields)
        self.schedule[entry.name] = entry
        return entry

    def reserve(self, entry: Any) -> Any:
        """Note in ``schedule`` that an entry runs now. Returns the entry after this run."""
        new = self.schedule[entry.name] = next(entry)
        return new

    def schedules_equal(self, old_schedules: Any, new_schedules: Any) -> bool:
        if old_schedules is None or new_schedules is None:
            return old_schedules is new_schedules
        if old_schedules.keys() != new_schedules.keys():
            return False
        return all(entry == new_schedules[name] for name, entry in old_schedules.items())

    def is_due(self, entry: Any) -> Any:
        """Whether an entry is due, and in how many seconds to look again."""
        return entry.is_due()

    def _due(self, is_due: Callable[[], Any], entry: Any) -> tuple[bool, Any]:
        """``is_due()``. An entry whose next run cannot be computed is logged, and looked at again later."""
        try:
            due, wait = is_due()
        except Exception:  # noqa: BLE001 - a schedule may be anyone's code, and the other entries go on
            not_computed(entry.name, self.max_interval)
            return False, self.max_interval
        return due, wait

    def adjust(self, n: Any, drift: float = -0.01) -> Any:
        """A wait, shortened by the time that beat needs to wake up."""
        return n + drift if n and n > 0 else n

    def _when(self, entry: Any, next_time_to_run: Any, *_: Any) -> float:
        """The unix time in ``next_time_to_run`` seconds, by the entry's clock."""
        return float(maybe_make_aware(entry.default_now()).timestamp()) + float(self.adjust(next_time_to_run) or 0)

    def populate_heap(self, *_: Any) -> None:
        """Order the entries by when they are due."""
        self._heap = []
        for entry in self.schedule.values():
            due, wait = self._due(entry.is_due, entry)
            self._heap.append(event_t(self._when(entry, 0 if due else wait), _PRIORITY, entry))
        heapq.heapify(self._heap)

    def tick(self, *_: Any) -> float:
        """Send one entry if one is due. Returns how many seconds to wait until the next call."""
        if self._heap is None or not self.schedules_equal(self.old_schedulers, self.schedule):
            self.old_schedulers = copy.copy(self.schedule)
            self.populate_heap()
        heap: list[Any] = self._heap or []
        if not heap:
            return self.max_interval
        first = heap[0]
        early = first.time - self._when(first.entry, 0)
        if early > 0:
            return float(min(early, self.max_interval))
        due, wait = self._due(lambda: self.is_due(first.entry), first.entry)
        if not due:
            wait = wait if isinstance(wait, int | float) else self.max_interval
        popped = heapq.heappop(heap)
        if popped is not first:  # the schedule of the entry has changed the heap
            heapq.heappush(heap, popped)
            return float(min(popped.time - self._when(popped.entry, 0), self.max_interval))
        if not due:
            heapq.heappush(heap, event_t(self._when(first.entry, wait), first.priority, first.entry))
            return 0 if heap[0].entry is not first.entry else float(min(self.adjust(wait), self.max_interval))
        producer = self.producer
        following = self.reserve(first.entry)
        self.apply_entry(first.entry, producer=producer)
        heapq.heappush(heap, event_t(self._when(following, wait), first.priority, following))
        return 0

    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        """Send a due entry; errors are logged."""
        logger.info("Scheduler: Sending due task %s (%s)", entry.name, entry.task)
        try:
            result = self.apply_async(entry, producer=producer, advance=False)
        except Exception as exc:  # noqa: BLE001 - it is the task's own code, and the other entries go on
            logger.error("Message Error: %s", exc, exc_info=True)
        else:
            sent = f" id->{result.id}" if result and hasattr(result, "id") else ""
            logger.debug("%s sent.%s", entry.task, sent)

    def apply_async(self, entry: Any, producer: Any = None, advance: bool = True, **options: Any) -> Any:
        """Send an entry's task. Returns its result. ``advance``: note the run in ``schedule``. Raises
        SchedulingError."""
        entry = self.reserve(entry) if advance else entry
        task = self.app.tasks.get(entry.task)
        given = {**entry.options, "headers": {**(entry.options.get("headers") or {}), BEAT_HEADER: True}}
        if producer is not None:
            given["producer"] = producer
        try:
            args, kwargs = evaluated_call(entry.args or (), entry.kwargs or {})
            if task is not None:
                return task.apply_async(list(args), kwargs, **given)
            return self.send_task(entry.task, list(args), kwargs, **given)
        except Exception as exc:
            raise SchedulingError(f"Couldn't apply scheduled task {entry.name}: {exc}") from exc
        finally:
            self._tasks_since_sync += 1
            if self.should_sync():
                self._do_sync()

    def send_task(self, *args: Any, **kwargs: Any) -> Any:
        return self.app.send_task(*args, **kwargs)

    @cached_property
    def connection(self) -> Any:
        """A connection to the broker."""
        return self.app.connection_for_write()

    def _ensure_connected(self) -> Any:
        retries = self.app.conf.broker_connection_max_retries
        return self.connection.ensure_connection(connection_lost, retries)

    @property
    def producer(self) -> Any:
        """A producer of the class ``Producer``; ``None`` without one. Waits until the broker can be reached. One that a
        subclass assigns takes its place."""
        if "producer" in self.__dict__:
            return self.__dict__["producer"]
        connection = self._ensure_connected()
        return None if self.Producer is None else self.Producer(connection, auto_declare=False)

    @producer.setter
    def producer(self, producer: Any) -> None:
        self.__dict__["producer"] = producer

    def should_sync(self) -> bool:
        """Whether it is time to call ``sync``."""
        if self._last_sync is None or time.monotonic() - self._last_sync > self.sync_every:
            return True
        return bool(self.sync_every_tasks and self._tasks_since_sync >= self.sync_every_tasks)

    def _do_sync(self) -> None:
        logger.debug("beat: Synchronizing schedule...")
        try:
            self.sync()
        finally:
            self._last_sync, self._tasks_since_sync = time.monotonic(), 0

    def sync(self) -> None:
        """For subclasses: write the state of the entries."""

    def close(self) -> None:
        """``sync``, and leave the broker."""
        try:
            self.sync()
        finally:
            vars(self).pop("producer", None)
            connection = vars(self).pop("connection", None)
            if connection is not None:
                self._release(connection)

    def _release(self, connection: Any) -> None:
        try:
            connection.release()
        except (OperationalError, OSError) as exc:
            logger.warning("beat: The connection to the broker cannot be closed: %s", exc)

    @property
    def info(self) -> str:
        """A line about the schedule, for beat's banner."""
        return ""


def write_if_due(scheduler: Any) -> None:
    """Have a scheduler write the state of its entries, if it says that it is time to."""
    if scheduler.should_sync():
        scheduler._do_sync()
