"""The records of a run, and how long they are kept after its end."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any

from canvas.errors import RunLost
from canvas.model import states
from canvas.model.record import Record
from canvas.model.settlement import Keep, Settlement
from canvas.model.workflow_run import (
    ANY,
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
from canvas.primitives.mapping import YIELDED_PAGE
from canvas.workflows.services import WorkflowServices
from canvas.workflows.store import RunStore

RECORDS_AT_ONCE = 1_000
_KEPT_AFTER = 7 * 86_400
"""Seconds without progress after which a run that waits is kept for longer."""


def is_end(record: Record, attempt: int) -> bool:
    """Whether a run's record is the end of this attempt: the settlement that ends it may not be stored yet."""
    return record.status in states.READY_STATES and record.extra.get("attempt") == attempt


def _end(app: WorkflowServices, runs: RunStore, run: str, attempt: int) -> Record | None:
    """The stored end of an attempt, if there is one."""
    record: Record | None = runs.persist(lambda: app.backend.get_records([run]))[0]
    return record if record is not None and is_end(record, attempt) else None


def goes_on(app: WorkflowServices, runs: RunStore, place: NodeRef | None) -> bool:
    """Whether the run of ``place``, or one around it, has not ended."""
    with suppress(RunLost):
        while place is not None:
            about, attempt = runs.metadata(place.run)
            if _end(app, runs, place.run, attempt) is None:
                return True
            place = NodeRef.of(about.get("place"))
    return False


def outlive(app: WorkflowServices, runs: RunStore, run: str) -> None:
    """Keep a run, its records and the runs inside of it as long as a run that has not ended. Raises RunLost."""
    for one, ids in whole_run(app, runs, run):
        runs.outlive(one, ids)


def whole_run(app: WorkflowServices, runs: RunStore, run: str, ended: bool = False) -> Iterator[tuple[str, list[str]]]:
    """A run, and each run inside of it, with the ids of its records; with ``ended`` only those inside that have ended.
    Raises RunLost for the run itself."""
    about, attempt = runs.metadata(run)
    ids = kept_ids(app, runs, run, attempt, about)
    yield run, ids
    for child, record in runs_in_places(app, runs, ids):
        if not ended or record.status in states.READY_STATES:
            with suppress(RunLost):
                yield from whole_run(app, runs, child, ended)


def kept_ids(
    app: WorkflowServices, runs: RunStore, run: str, attempt: int, about: Mapping[str, Any],
    fields: Sequence[bytes | None] = (),
) -> list[str]:  # fmt: skip
    """``record_ids`` by the metadata of a run. Where each node runs one task, nodes are not read; if they are,
    ``fields`` may be what ``RunStore.definitions`` has read. Raises RunLost."""
    if about.get("tasks_only"):
        return [run, grown_id(run), *_node_ids(run, attempt, range(1, about["nodes"] - 1))]
    nodes = runs.definition(run, fields)[2] if fields else runs.nodes(run, 0, about["nodes"])
    return record_ids(app, runs, run, attempt, nodes)


def _node_ids(run: str, attempt: int, numbers: Iterable[int]) -> list[str]:
    """The ids of the tasks of these nodes, in each attempt up to ``attempt``: for each what ``task_id_of`` gives."""
    tried = range(attempt + 1)
    return [f"{run}.{before}.{number}" for number in numbers for before in tried]


def record_ids(app: WorkflowServices, runs: RunStore, run: str, attempt: int, nodes: Sequence[RunNode]) -> list[str]:
    """The ids of all records that may belong to a run, up to its ``attempt``."""
    shown = [number for number, node in enumerate(nodes) if not node.hidden]
    special = [number for number in shown if nodes[number].kind in ("map", *IN_ROUNDS)]
    places = [NodeRef(run, before, number) for number in special for before in range(attempt + 1)]
    maps = [place for place in places if nodes[place.node].kind == "map"]
    loops = [place for place in places if nodes[place.node].kind in IN_ROUNDS]
    ids = [run, grown_id(run), *_node_ids(run, attempt, shown)]
    ids += [kept for place in (*maps, *loops) for kept in (items_id(place), outline_id(place))]
    for place, rounds in zip(loops, rounds_of(app, runs, loops), strict=True):
        ids += [task_id_of(item) for item in items_of(place, 2 * rounds)]
        sig = nodes[place.node].sig
        if sig is not None and sig["task"] == YIELDED_PAGE:
            ids += _yielded(app, runs, place, rounds)
    for place, outline in zip(maps, outlines(app, runs, maps), strict=True):
        if outline is not None:
            if nodes[place.node].details.get("concurrency"):
                ids += [page_id(place, page) for page in range(-(-outline[0] // PAGE))]
            ids += [task_id_of(item) for item in items_of(place, outline[0])]
    return ids


def _yielded(app: WorkflowServices, runs: RunStore, place: NodeRef, asked: int) -> list[str]:
    """The ids of the pages of a generator that are still to be read, by the cursor of the last page that was read."""
    pages = [task_id_of(page_source(place, page)) for page in range(max(0, asked - 2), asked)]
    read = [one for one in runs.persist(partial(app.backend.get_records, pages)) if one is not None]
    cursors = [one.result["next"] for one in read if one.status == states.SUCCESS and one.result["next"] is not None]
    if not cursors:
        return []
    token, first, size = cursors[0]
    return [yielded_id(token, page) for page in range(first, size)]


def yielded_id(token: str, page: int) -> str:
    """The id of the record of a page that a generator has yielded; ``token``: names the run of the generator."""
    return f"{token}.{page}"


def runs_in_places(app: WorkflowServices, runs: RunStore, task_ids: Sequence[str]) -> Iterator[tuple[str, Record]]:
    """The runs of workflows in the places of these tasks, each with its record, which it has from its start on."""
    for first in range(0, len(task_ids), RECORDS_AT_ONCE):
        some = list(map(child_run_of, task_ids[first : first + RECORDS_AT_ONCE]))
        records: list[Record | None] = runs.persist(partial(app.backend.get_records, some))
        yield from ((run, record) for run, record in zip(some, records, strict=True) if record is not None)


def grown_id(run: str) -> str:
    """The id of the record that marks a run inside of which a task has returned a workflow with compensations."""
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
                    _keep(app, runs, run, kept)
                    count += 1
        if not cursor:
            break
    return count


def _keep(app: WorkflowServices, runs: RunStore, run: str, kept: set[str]) -> None:
    """Keep a run with the runs around it and inside of it, and with its joins, except for those in ``kept``.

    Raises RunLost.
    """
    if run in kept:
        return
    kept.add(run)
    about, attempt = runs.metadata(run)
    place = NodeRef.of(about.get("place"))
    if place is not None:
        _keep(app, runs, place.run, kept)
    else:
        outlive(app, runs, run)
    nodes = runs.nodes(run, 0, about["nodes"])
    joins = _joins(app, runs, run, attempt, nodes)
    for first in range(0, len(joins), RECORDS_AT_ONCE):
        keeps = [
            Keep(f"{run}.{attempt}.{name}", app.backend.run_lives) for name in joins[first : first + RECORDS_AT_ONCE]
        ]
        settlement = Settlement(None, fence="none", keeps=keeps)
        runs.persist(partial(app.driver.settler.settle, [settlement]))


def _joins(app: WorkflowServices, runs: RunStore, run: str, attempt: int, nodes: Sequence[RunNode]) -> list[str]:
    """The names of the chords of an attempt that may wait for parts."""
    places = [NodeRef(run, attempt, number) for number in range(len(nodes))]
    names = [str(number) for number, node in enumerate(nodes) if len(node.slots) > 1]
    names += [f"{number}.none" for number, node in enumerate(nodes) if node.when in ANY]
    maps = [place for place in places if nodes[place.node].kind == "map"]
    for place, outline in zip(maps, outlines(app, runs, maps), strict=True):
        if outline is not None:
            names += [f"{place.node}.items", f"{place.node}.failures"]
            names += [f"{place.node}.unit.{unit}" for unit in range(outline[0] if nodes[place.node].is_fed else 0)]
    paged = [place for place in places if nodes[place.node].kind == "pages"]
    for place, asked in zip(paged, rounds_of(app, runs, paged), strict=True):
        names += [f"{place.node}.page.{page}" for page in range(max(0, asked - 2), asked + 1)]
    return names


def items_of(place: NodeRef, size: int) -> Iterator[NodeRef]:
    """The places of a map's items."""
    return (NodeRef(place.run, place.attempt, place.node, item, size) for item in range(size))


def part_of_node(kind: str, place: NodeRef, number: int) -> NodeRef:
    """The place of the work of a map's item, of a loop's round, or of a page."""
    if kind == "pages":
        return page_work(place, number)
    return place._replace(item=2 * number if kind == "loop" else number, size=1)


def page_source(place: NodeRef, page: int) -> NodeRef:
    """The place of the task that gives a page, of a node that works page by page."""
    return place._replace(item=2 * page, size=1)


def page_work(place: NodeRef, page: int) -> NodeRef:
    """The place of the task that ends as the run of that page does."""
    return place._replace(item=2 * page + 1, size=1)


def run_metadata(name: str, nodes: Sequence[RunNode], now: datetime, target: str = "canvas") -> dict[str, Any]:
    """The metadata of a new run."""
    return {
        "name": name,
        "target": target,
        "created": now.isoformat(),
        "nodes": len(nodes),
        "attempts": [0] * len(nodes),
        "tasks_only": all(node.kind == "task" and not node.hidden for node in nodes[1:-1]),
        "compensated": [number for number, node in enumerate(nodes) if node.has_compensation],
    }
