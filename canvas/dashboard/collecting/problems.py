"""Problems that the dashboard reports in a sentence each, with the page that leads to the cause."""

from collections import Counter
from collections.abc import Iterable, Sequence
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
"""Names of tasks whose failures are listed."""


class Problem(NamedTuple):
    """One sentence."""

    text: str
    page: tuple[str, ...]
    """The parts of the path of the page."""
    query: dict[str, str]
    """The query of the page."""


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
    """The names of tasks that have failed most often lately."""
    failed = Counter(
        task.name or "?" for task in tasks if task.state == states.FAILURE and now - (task.timestamp or 0.0) < _LATELY
    )
    return [
        Problem(
            f"{name} has failed {'once' if count == 1 else f'{count:,} times'} in the last {span(_LATELY)}",
            ("tasks",),
            {"state": states.FAILURE, "name": name},
        )
        for name, count in failed.most_common(_NAMES)
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
