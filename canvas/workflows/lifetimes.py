"""The records of a run, and how long they are kept after its end."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from canvas.errors import BrokerError, RunLost
from canvas.model import states
from canvas.model.record import Record
from canvas.model.run_index import CANCELLED
from canvas.model.settlement import Keep, Settlement
from canvas.model.workflow_run import (
    IN_ROUNDS,
    PAGE,
    NodeRef,
    RunNode,
    child_run_of,
    items_id,
    outline_id,
    page_id,
    task_id_of,
)
from canvas.telemetry import emit
from canvas.workflows.services import WorkflowServices
from canvas.workflows.store import RunStore

_AT_ONCE = 1_000
_KEPT_AFTER = 7 * 86_400
"""Seconds without progress after which a run that waits is kept for longer."""


def retire(app: WorkflowServices, runs: RunStore) -> int:
    """Let the runs that have ended in this process expire, each with its records; returns their number.

    If a worker dies first, its last runs are kept for as long as runs that have not ended. Raises BrokerError.
    """
    count = 0
    for run, attempt, looks in runs.over():
        try:
            end = _end(app, runs, run, attempt)
            if end is not None:
                count += _expire(app, runs, run, attempt, end)
            else:
                runs.ended(run, attempt, looks - 1)
        except RunLost:
            continue
        except BrokerError:
            runs.ended(run, attempt, looks)
            raise
    return count


def _end(app: WorkflowServices, runs: RunStore, run: str, attempt: int) -> Record | None:
    """The stored end of an attempt, if there is one: the settlement that stores it may be late, or another worker's."""
    record: Record | None = runs.persist(lambda: app.backend.get_records([run]))[0]
    if record is None or record.status not in states.READY_STATES or record.extra.get("attempt") != attempt:
        return None
    return record


def _expire(app: WorkflowServices, runs: RunStore, run: str, attempt: int, end: Record) -> bool:
    """Let a run expire with its records, unless it is resumed; whether it was resumed. Raises RunLost."""
    about, latest = runs.metadata(run)
    if latest != attempt:
        return False
    emit(
        "run.ended", run=run, name=about["name"], state=CANCELLED if about["cancelled"] else end.status,
        created=about["created"], ended=end.date_done, cause=end.result,
    )  # fmt: skip
    ids = record_ids(app, runs, run, attempt, runs.nodes(run, 0, about["nodes"]))
    for first in range(0, len(ids), _AT_ONCE):
        runs.expire(run, ids[first : first + _AT_ONCE])
    if runs.metadata(run)[1] == attempt:
        return True
    runs.outlive(run, ids)  # it was resumed meanwhile
    return False


def record_ids(app: WorkflowServices, runs: RunStore, run: str, attempt: int, nodes: Sequence[RunNode]) -> list[str]:
    """The ids of all records that may belong to a run, up to its ``attempt``."""
    shown = [number for number, node in enumerate(nodes) if not node.hidden]
    places = [NodeRef(run, before, number) for number in shown for before in range(attempt + 1)]
    maps = [place for place in places if nodes[place.node].kind == "map"]
    loops = [place for place in places if nodes[place.node].kind in IN_ROUNDS]
    ids = [run, grown_id(run), *map(task_id_of, places)]
    ids += [kept for place in (*maps, *loops) for kept in (items_id(place), outline_id(place))]
    for place, rounds in zip(loops, rounds_of(app, runs, loops), strict=True):
        ids += [task_id_of(item) for item in items_of(place, 2 * rounds)]
    for place, outline in zip(maps, outlines(app, runs, maps), strict=True):
        if outline is not None:
            if nodes[place.node].details.get("concurrency"):
                ids += [page_id(place, page) for page in range(-(-outline[0] // PAGE))]
            ids += [task_id_of(item) for item in items_of(place, outline[0])]
    return ids


def runs_in_places(app: WorkflowServices, task_ids: Sequence[str]) -> Iterator[str]:
    """The runs of workflows in the places of these tasks. A run has a record from its start on."""
    for first in range(0, len(task_ids), _AT_ONCE):
        some = list(map(child_run_of, task_ids[first : first + _AT_ONCE]))
        records: list[Record | None] = app.backend.get_records(some)
        yield from (run for run, record in zip(some, records, strict=True) if record is not None)


def grown_id(run: str) -> str:
    """The id of the record that marks a run with workflows inside that tasks have returned, and that may have to be
    undone."""
    return f"{run}.grown"


def outlines(app: WorkflowServices, runs: RunStore, maps: Sequence[NodeRef]) -> list[tuple[int, str] | None]:
    """The number of items of each map, and their digest; ``None`` for a map that has not started."""
    if not maps:
        return []
    found: list[Any] = runs.persist(lambda: app.backend.get_records([outline_id(place) for place in maps]))
    return [None if record is None else (int(record.result[0]), str(record.result[1])) for record in found]


def rounds_of(app: WorkflowServices, runs: RunStore, loops: Sequence[NodeRef]) -> list[int]:
    """How many rounds of each loop have started."""
    if not loops:
        return []
    found: list[Any] = runs.persist(lambda: app.backend.get_records([task_id_of(place) for place in loops]))
    return [0 if record is None else int(record.extra.get("rounds", 0)) for record in found]


def keep_waiting(app: WorkflowServices, runs: RunStore) -> int:
    """Keep the runs that wait in a mailbox and have had no progress for some days; returns their number.

    Each of these is kept as long again as a run that has just had progress. Raises BrokerError.
    """
    alive, cursor, count, kept = runs.lifetimes.alive, "", 0, set[str]()
    while alive:
        found, cursor = runs.waiting(alive - _KEPT_AFTER, cursor)
        for run in found:
            with suppress(RunLost):
                attempt = runs.metadata(run)[1]
                if _end(app, runs, run, attempt) is None:
                    _keep(app, runs, run, attempt, kept)
                    count += 1
        if not cursor:
            break
    return count


def _keep(app: WorkflowServices, runs: RunStore, run: str, attempt: int, kept: set[str]) -> None:
    """Keep a run with its records and its joins, and the runs that it is inside of, except for those in ``kept``.

    Raises RunLost.
    """
    if run in kept:
        return
    kept.add(run)
    about, _ = runs.metadata(run)
    place = NodeRef.of(about.get("place"))
    if place is not None:
        _keep(app, runs, place.run, place.attempt, kept)
    nodes = runs.nodes(run, 0, about["nodes"])
    runs.outlive(run, record_ids(app, runs, run, attempt, nodes))
    joins = [number for number, node in enumerate(nodes) if len(node.slots) > 1]
    keeps = [Keep(f"{run}.{attempt}.{number}", app.backend.run_lives) for number in joins]
    runs.persist(lambda: app.driver.settler.settle([Settlement(None, fence="none", keeps=keeps)]))


def items_of(place: NodeRef, size: int) -> Iterator[NodeRef]:
    """The places of a map's items."""
    return (NodeRef(place.run, place.attempt, place.node, item, size) for item in range(size))


def page_source(place: NodeRef, page: int) -> NodeRef:
    """The place of the task that gives a page, of a node that works page by page."""
    return place._replace(item=2 * page, size=1)


def page_work(place: NodeRef, page: int) -> NodeRef:
    """The place of the task that ends as the run of that page does."""
    return place._replace(item=2 * page + 1, size=1)
