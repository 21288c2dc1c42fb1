"""Problems that the dashboard reports in a sentence each, with the page that leads to the cause."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import median, median_low
from typing import NamedTuple

from canvas.beat.schedule import EntryInfo
from canvas.dashboard.collecting.queues import QueueState
from canvas.dashboard.collecting.stopped_runs import StoppedRun
from canvas.model import states
from canvas.remote.cluster_entries import Task, Worker

SILENT_AFTER = 30.0
"""Seconds after its last answer at which a worker that sends heartbeats counts as silent."""
_LATELY = 300.0
"""Seconds for which failures are counted."""
_OLD = 60.0
"""Seconds that the next message of a queue may wait."""
_LATE = 60.0
"""Seconds after its time at which an entry of a schedule counts as overdue."""
_NAMES = 3
"""Names of tasks whose failures are listed; also workers that are slow."""
_ENOUGH = 5
"""Tasks of one name that a worker must have run to be compared with others."""
_SLOWER = 3.0
"""From how many times the runtime of other workers on a worker counts as slow."""
_LONG = 0.1
"""Seconds; shorter runtimes are not compared."""


class Problem(NamedTuple):
    """One sentence."""

    text: str
    page: tuple[str, ...]
    """The parts of the path of the page."""
    query: dict[str, str]
    """The query of the page."""


def of_refusals(refusals: Mapping[str, str]) -> list[Problem]:
    """Servers that store nothing now, such as a Redis without memory. ``refusals``: their error messages, for
    ``messages`` and for ``results``."""
    kinds: defaultdict[str, list[str]] = defaultdict(list)
    for kind, words in refusals.items():
        kinds[words].append(kind)
    return [
        Problem(f"No {' and no '.join(kinds)} can be stored: {words}", ("queues",), {})
        for words, kinds in kinds.items()
    ]


def of_workers(workers: Iterable[Worker], answered: dict[str, float], now: float) -> list[Problem]:
    """Workers that have stopped without an event, and workers that answer no command. ``answered``: unix times of the
    last answers, by worker."""
    found = []
    for worker in workers:
        name, page = worker.hostname or "", ("workers", worker.hostname or "")
        if worker.heartbeats and not worker.alive:
            text = f"Worker {name} has sent no heartbeat for {span(now - worker.heartbeats[-1])}"
            found.append(Problem(text, page, {}))
        elif worker.alive and name in answered and now - answered[name] > SILENT_AFTER:
            text = f"Worker {name} sends heartbeats, but has answered no question for {span(now - answered[name])}"
            found.append(Problem(text, page, {}))
    return found


def of_queues(queues: Iterable[QueueState]) -> list[Problem]:
    """Queues that no worker consumes, that are slow, or that have dead letters."""
    found, dead = [], []
    for queue in queues:
        page = ("queues", queue.name)
        if queue.waiting and not queue.consumers:
            found.append(Problem(f"No worker consumes {queue.name}, where {_waiting(queue.waiting)}", page, {}))
        elif queue.waiting and queue.oldest is not None and queue.oldest > _OLD:
            least = "at least " if queue.oldest_at_least else ""
            text = f"In {queue.name} {_waiting(queue.waiting)}, the next one for {least}{span(queue.oldest)}"
            found.append(Problem(text, page, {}))
        if queue.dead:
            letters = "1 dead letter" if queue.dead == 1 else f"{queue.dead:,} dead letters"
            dead.append(Problem(f"{letters} in {queue.name}", page, {}))
    return found + dead


def of_tasks(tasks: Iterable[Task], now: float) -> list[Problem]:
    """The names of tasks that have failed most often lately, and of those that did not run: revoked, or expired."""
    kinds = {states.FAILURE: "has failed", states.REVOKED: "was revoked or expired"}
    ended: dict[str, Counter[str | None]] = {state: Counter() for state in kinds}
    for task in tasks:
        if task.state in kinds and now - (task.timestamp or 0.0) < _LATELY:
            ended[task.state][task.name] += 1
    return [
        Problem(
            f"{name or 'A task of unknown name'} {did} {'once' if count == 1 else f'{count:,} times'} "
            f"in the last {span(_LATELY)}",
            ("tasks",),
            {"state": state} if name is None else {"state": state, "name": name},
        )
        for state, did in kinds.items()
        for name, count in ended[state].most_common(_NAMES)
    ]


def of_slow_workers(tasks: Iterable[Task], now: float) -> list[Problem]:
    """Workers that take much longer than others for tasks of the same name."""
    runtimes: defaultdict[str, defaultdict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for task in tasks:
        if task.runtime is not None and task.worker is not None and now - (task.timestamp or 0.0) < _LATELY:
            runtimes[task.name or "?"][task.worker.hostname or ""].append(task.runtime)
    found = []
    for name, by_worker in runtimes.items():
        medians = {worker: median(times) for worker, times in by_worker.items() if len(times) >= _ENOUGH}
        usual = median_low(medians.values()) if medians else 0.0
        slow = [(each, worker) for worker, each in medians.items() if each >= max(_LONG, _SLOWER * usual)]
        found += [(each / max(usual, 1e-6), worker, name) for each, worker in slow]
    return [
        Problem(f"Worker {worker} takes {times:,.0f} times as long for {name} as others", ("workers", worker), {})
        for times, worker, name in sorted(found, reverse=True)[:_NAMES]
    ]


def of_memory(grown: Mapping[str, tuple[int, int, float]]) -> list[Problem]:
    """Workers with a process whose memory grows. ``grown``: KiB now, KiB before, and the seconds since, by worker."""
    return [
        Problem(
            f"A process of worker {worker} takes {size >> 10:,} MiB, and {before >> 10:,} MiB {span(age)} ago",
            ("workers", worker),
            {},
        )
        for worker, (size, before, age) in sorted(grown.items())
    ]


def of_runs(stopped: Sequence[StoppedRun]) -> list[Problem]:
    """Workflow runs that have stopped at a task that a Celery worker ran."""
    if not stopped:
        return []
    run, others = stopped[0], len(stopped) - 1
    runs = f"Run {run.name} has stopped" if not others else f"Run {run.name} and {others:,} more have stopped"
    return [Problem(f"{runs}: the Celery worker {run.worker} ran tasks of it", ("workflows", run.id), {})]


def of_schedule(entries: Sequence[EntryInfo], now: float) -> list[Problem]:
    """Entries that no beat has sent at their time."""
    late = sorted((one.due, one.name) for one in entries if one.due is not None and now - one.due > _LATE)
    if not late:
        return []
    due, name = late[0]
    others = f" (and {len(late) - 1:,} more)" if len(late) > 1 else ""
    text = f"Entry {name} of the schedule{others} was due {span(now - due)} ago: no beat runs, or it is stuck"
    return [Problem(text, ("schedules",), {})]


def _waiting(count: int) -> str:
    return "1 message waits" if count == 1 else f"{count:,} messages wait"


def span(seconds: float) -> str:
    """A duration in its largest unit."""
    for unit, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds:.0f} s"
