"""How fast each queue fills and empties, from its lengths and from the events of tasks that workers have received."""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from typing import NamedTuple

from canvas.remote.cluster_entries import Task

_SAMPLES = 1_800
"""Samples of a queue that are kept: an hour, at one each two seconds."""
_RATE = 30.0
"""Seconds over which rates are averaged."""
_QUEUES = 2_000
_KNOWN_FOR = 10.0
"""Seconds for which the queue of a task's name at a worker is remembered."""


class Flow(NamedTuple):
    """The figures of a queue; each is ``None`` where it is not known."""

    change: float
    """By how many messages a second the queue grows; below 0: shrinks."""
    incoming: float | None
    """Messages a second that were sent to it."""
    outgoing: float | None
    """Messages a second that workers have received from it."""
    oldest: float | None
    """Seconds that its first message has waited, at least."""


UNKNOWN = Flow(0.0, None, None, None)


class _Sample(NamedTuple):
    time: float
    taken: int
    waiting: int


class Flows:
    """Counts the messages that workers receive, by queue."""

    def __init__(self, route: Callable[[str], str | None], consumed: Callable[[str], Iterable[str]]) -> None:
        """``route``: the queue to which the app sends a task of this name, if that is known. ``consumed``: the queues
        of a worker."""
        self._route = route
        self._consumed = consumed
        self._taken: Counter[str] = Counter()
        self._unsure: dict[str, float] = {}
        """When it was last unknown from which queue a message came, by each queue that it may have come from."""
        self._samples: dict[str, deque[_Sample]] = {}
        self._found: dict[tuple[str, str], tuple[float, str | None, tuple[str, ...]]] = {}

    def take(self, task: Task) -> None:
        """A worker has received this task."""
        queue = getattr(task, "queue", None)
        if not isinstance(queue, str):
            queue, possible = self._queue(task)
            if queue is None:
                now = time.time()
                self._unsure.update(dict.fromkeys(possible, now))
                return
        if queue in self._taken or len(self._taken) < _QUEUES:
            self._taken[queue] += 1

    def _queue(self, task: Task) -> tuple[str | None, tuple[str, ...]]:
        """The queue from which a worker has received a task, and the queues of that worker."""
        worker = task.worker.hostname or "" if task.worker is not None else ""
        key, now = (worker, task.name or ""), time.monotonic()
        known = self._found.get(key)
        if known is None or now - known[0] > _KNOWN_FOR:
            if len(self._found) >= _QUEUES:
                self._found.clear()
            queues = tuple(self._consumed(worker))
            routed = queues[0] if len(queues) == 1 else self._route(task.name) if task.name else None
            self._found[key] = known = now, routed if routed in queues else None, queues
        return known[1], known[2]

    def look(self, queue: str, waiting: int, now: float) -> Flow:
        """The figures of a queue that has ``waiting`` messages now."""
        samples = self._samples.setdefault(queue, deque(maxlen=_SAMPLES))
        latest = _Sample(now, self._taken[queue], waiting)
        samples.append(latest)
        before = next((one for one in samples if one.time >= now - _RATE), latest)
        passed = now - before.time
        if not passed:
            return UNKNOWN
        change = (waiting - before.waiting) / passed
        if self._unsure.get(queue, -1.0) >= before.time:
            return Flow(change, None, None, None)
        outgoing = (latest.taken - before.taken) / passed
        # More messages have left the queue than workers have reported: they send no events, or it was purged.
        if outgoing + change < -1.0:
            return Flow(change, None, None, None)
        return Flow(change, max(0.0, outgoing + change), outgoing, self._age(samples) if waiting else None)

    def forget_all_but(self, queues: Iterable[str]) -> None:
        """Delete the counts of other queues than these."""
        kept = set(queues)
        for known in (self._samples, self._taken, self._unsure):
            for queue in [name for name in list(known) if name not in kept]:
                known.pop(queue, None)

    def _age(self, samples: "deque[_Sample]") -> float:
        """Seconds that the first message has waited, at least: messages leave in the order in which they came, so it
        came after all that have left."""
        latest = samples[-1]
        came = latest.time
        for sample in reversed(samples):
            if sample.taken + sample.waiting <= latest.taken:
                break
            came = sample.time
        return latest.time - came
