"""Cancels nodes of a run: revokes their tasks, ends their waits, and cancels the runs inside of them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, Protocol

from canvas.errors import RunLost
from canvas.model import states
from canvas.model.record import Record
from canvas.model.run_index import CANCELLING, RunQuery
from canvas.model.workflow_run import IN_ROUNDS, NodeRef, RunNode, task_id_of
from canvas.workflows.progress.celery_workers import ran_by_celery
from canvas.workflows.run_records import items_of, outlines, rounds_of
from canvas.workflows.services import WorkflowServices
from canvas.workflows.steps.chord_callbacks import change_mailboxes
from canvas.workflows.steps.waits import cancelled_wait
from canvas.workflows.store import RunStore

_AT_ONCE = 1_000
"""Records that are read at once."""
_WAITING = frozenset({"sleep", "wait"})
_SEARCHES_EVERY = 10.0
"""Seconds between two searches for runs that are being cancelled, and until such a run is checked for the second time.
Each further time takes twice as long, up to ``_LONGEST``."""
_LONGEST = 3_600.0
_MOST = 1_000
"""Runs that a search finds, at most."""


def end_waits(app: WorkflowServices, nodes: Sequence[tuple[NodeRef, RunNode]]) -> None:
    """End the waits of these nodes, also those that have not begun."""
    mail = [cancelled_wait(app, place, node) for place, node in nodes if node.kind in _WAITING]
    if mail:
        change_mailboxes(app, mail)


class CancelledRun(Protocol):
    """The part of a ``Run`` that cancelling needs."""

    @property
    def about(self) -> Mapping[str, Any]: ...

    def cancel(self, terminate: bool = False, signal: str = "SIGTERM") -> bool: ...

    def cancel_again(self) -> None: ...


FindRun = Callable[[str], CancelledRun]
"""Finds a run by its id. Raises RunLost."""


class Inside(NamedTuple):
    """The runs inside of nodes, and the Celery workers that have taken messages of them."""

    runs: list[str]
    """The runs in their places that may not have ended."""
    by_celery: bool
    """Whether a Celery worker has taken one of their messages."""


def look_inside(app: WorkflowServices, left: Iterable[tuple[NodeRef, RunNode]]) -> Inside:
    """Read all records of these nodes and of their items."""
    found: dict[str, None] = {}
    by_celery = False
    for place, node in left:
        ids = task_ids(app, place, node)
        for first in range(0, len(ids), _AT_ONCE):
            for at, record in enumerate(app.backend.get_records(ids[first : first + _AT_ONCE]), first):
                if record is not None and "child" in record.extra and _is_open(node, record):
                    found[str(record.extra["child"])] = None
                by_celery = by_celery or ran_by_celery(node, record, is_own=at == 0)
    return Inside(list(found), by_celery)


def _is_open(node: RunNode, record: Record) -> bool:
    return record.status not in states.READY_STATES or _failed_by_limit(node, record)


def open_nodes(
    app: WorkflowServices, places: Sequence[NodeRef], nodes: Sequence[RunNode], records: Sequence[Record | None]
) -> list[tuple[NodeRef, RunNode]]:
    """The nodes among these that have not ended, or whose task may still run."""
    return [
        (place, node)
        for place, node, record in zip(places, nodes, records, strict=True)
        if record is None or _is_open(node, record)
    ]


def is_ending(nodes: Sequence[RunNode], records: Sequence[Record | None]) -> bool:
    """Whether only nodes of ``finally_``, which run in any case, have not ended."""
    return any(node.always for node in nodes) and all(
        node.always or node.hidden or (record is not None and not _is_open(node, record))
        for node, record in zip(nodes, records, strict=True)
    )


def _failed_by_limit(node: RunNode, record: Record) -> bool:
    """Whether a node with a limit has failed: its task may still run."""
    return node.limit is not None and record.status == states.FAILURE


def task_ids(app: WorkflowServices, place: NodeRef, node: RunNode) -> list[str]:
    """The ids of the tasks that may run for a node."""
    ids = [task_id_of(place)]
    if node.kind == "map":
        (outline,) = outlines(app, app.run_store, [place])
        ids += [task_id_of(item) for item in items_of(place, outline[0] if outline is not None else 0)]
    elif node.kind in IN_ROUNDS:
        ids += [task_id_of(item) for item in items_of(place, 2 * rounds_of(app, app.run_store, [place])[0])]
    return ids


def cancel_nodes(app: WorkflowServices, run: str, attempt: int, numbers: Sequence[int], find: FindRun) -> None:
    """Cancel nodes of one attempt with all that runs in their places. Nothing happens to those that have ended."""
    places = [NodeRef(run, attempt, number) for number in numbers]
    try:
        nodes = [app.run_store.node(run, attempt, number) for number in numbers]
    except RunLost:
        return
    records = app.backend.get_records([task_id_of(place) for place in places])
    left = open_nodes(app, places, nodes, records)
    ids = [task_id for place, node in left for task_id in task_ids(app, place, node)]
    if ids:
        app.control.revoke(ids, terminate=True)
    end_waits(app, left)
    cancel_runs(find, look_inside(app, left).runs, True)


def cancel_runs(
    find: FindRun, runs: Sequence[str], terminate: bool, signal: str = "SIGTERM", again: bool = False
) -> None:
    """Cancel these runs; ``again``: those that are cancelled are only completed."""
    for run in runs:
        with suppress(RunLost):  # it ended long ago
            found = find(run)
            if again and found.about["cancelled"]:
                found.cancel_again()
            else:
                found.cancel(terminate, signal)


class Cancellations:
    """Completes the cancellations of runs: a step that was under way may start a run inside after its cancellation has
    looked for such runs, and the process that cancels may be killed."""

    def __init__(self, runs: RunStore, find: FindRun) -> None:
        self._runs = runs
        self._find = find
        self._next_search = 0.0
        self._known: dict[str, tuple[float, float]] = {}
        """By run, the time of its next check, and the seconds from then to the check after it."""

    def tick(self, now: float) -> None:
        """Complete the cancellations that are due; ``now``: the monotonic clock. Raises BrokerError."""
        if now < self._next_search:
            return
        self._next_search = now + _SEARCHES_EVERY
        found = self._runs.find(RunQuery(states=(CANCELLING,), limit=_MOST))
        self._known = {one.run: self._known.get(one.run, (now, _SEARCHES_EVERY)) for one in found}
        for run, (due, pause) in self._known.items():
            if now >= due:
                self._known[run] = now + pause, min(2 * pause, _LONGEST)
                with suppress(RunLost):
                    self._find(run).cancel_again()
