"""The compensations of a failed run: which nodes are undone, and in which order."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

from canvas.errors import RunLost
from canvas.model import states
from canvas.model.record import Record
from canvas.model.workflow_definition import IncomingEdge, NodeDefinition
from canvas.model.workflow_run import SKIPPED, NodeRef, RunNode, child_run_of, task_id_of
from canvas.producer.outbox import Outbox
from canvas.telemetry import emit
from canvas.workflows.run_records import grown_id, items_of, outlines, page_work, rounds_of
from canvas.workflows.services import WorkflowServices
from canvas.workflows.steps.earlier_attempts import NOT_UNDONE, usable_before
from canvas.workflows.store import RunStore

_AT_ONCE = 1_000
"""Records of items that one call reads."""


class Done(NamedTuple):
    """A node, or an item of a map, that has succeeded, with the signature that undoes it."""

    ended: str
    name: str
    compensate: dict[str, Any]
    value: Any


def done_nodes(app: WorkflowServices, runs: RunStore, places: Sequence[NodeRef], inside: str = "") -> list[Done]:
    """The nodes among ``places`` of one run that have succeeded and have a compensation, and those in the runs in their
    places.

    ``inside``: the names of the nodes around them."""
    found: list[Done] = []
    ids = [task_id_of(place) for place in places]
    records: list[Record | None] = runs.persist(lambda: app.backend.get_records(ids))
    for child in _children(app, runs, places, records):
        found += _done_inside(app, runs, child.run, f"{inside}{child.name}/")
    for place, record in zip(places, records, strict=True):
        node = runs.node(place.run, place.attempt, place.node)
        if node.kind == "map" and node.compensate is not None:
            found += _done_items(app, runs, place, f"{inside}{node.name}", node, node.compensate)
        elif node.compensate is not None and record is not None and _has_succeeded(record):
            found.append(Done(record.date_done or "", f"{inside}{node.name}", node.compensate, record.result))
    return found


def _done_items(
    app: WorkflowServices, runs: RunStore, place: NodeRef, name: str, node: RunNode, compensate: dict[str, Any]
) -> Iterator[Done]:
    """The items of a map that have succeeded, however the map ended; of a batch each of its items."""
    attempts = [place, *usable_before(runs, place)]
    for attempt, outline in zip(attempts, outlines(app, runs, attempts), strict=True):
        again = "" if attempt == place else f" of attempt {attempt.attempt}"
        items = list(items_of(attempt, outline[0] if outline is not None else 0))
        for first in range(0, len(items), _AT_ONCE):
            ids = [task_id_of(item) for item in items[first : first + _AT_ONCE]]
            for at, record in enumerate(runs.persist(partial(app.backend.get_records, ids)), first):
                if record is not None and _has_succeeded(record):
                    batch = node.details.get("batch")
                    values = record.result if batch else [record.result]
                    for number, value in enumerate(values, at * (batch or 1)):
                        yield Done(record.date_done or "", f"{name}[{number}]{again}", compensate, value)


def _has_succeeded(record: Record) -> bool:
    return record.status == states.SUCCESS and record.extra.get("canvas") != SKIPPED


class _Child(NamedTuple):
    """A run in the place of a node, or of one of its parts."""

    node: int
    run: str
    name: str


def _children(
    app: WorkflowServices, runs: RunStore, places: Sequence[NodeRef], records: Sequence[Record | None]
) -> Iterator[_Child]:
    """The runs that have succeeded in the places of these nodes of one run, in the latest attempt or one before."""
    grown, found = bool(places) and has_grown(app, runs, places[0].run), list[_Child]()
    for place, record in zip(places, records, strict=True):
        node = runs.node(place.run, place.attempt, place.node)
        for attempt in (place, *usable_before(runs, place)) if grown or "nodes" in node.details else ():
            for one, name in _places(app, runs, attempt, node, record):
                found.append(_Child(place.node, child_run_of(task_id_of(one)), name))
    for first in range(0, len(found), _AT_ONCE):
        some = found[first : first + _AT_ONCE]
        ends = runs.persist(partial(app.backend.get_records, [child.run for child in some]))
        for child, end in zip(some, ends, strict=True):
            if end is not None and end.status == states.SUCCESS:
                yield child


def _places(
    app: WorkflowServices, runs: RunStore, place: NodeRef, node: RunNode, record: Record | None
) -> Iterator[tuple[NodeRef, str]]:
    """The places of a node, in one attempt, where runs may have been, each with its name."""
    match node.kind:
        case "flow" | "task":
            yield place, node.name
        case "pages":
            pages = 0 if record is None else int(record.extra.get("rounds", 0))
            yield from ((page_work(place, page), node.name) for page in range(pages))
        case "map":
            (outline,) = outlines(app, runs, [place])
            size = 0 if outline is None else outline[0]
            yield from ((item, f"{node.name}[{item.item}]") for item in items_of(place, size))
        case "loop":
            (rounds,) = rounds_of(app, runs, [place])
            yield from ((step, f"{node.name}[{(step.item or 0) // 2}]") for step in items_of(place, 2 * rounds))


def _done_inside(app: WorkflowServices, runs: RunStore, child: str, inside: str) -> list[Done]:
    """The nodes to undo of a run that has succeeded in a node's place. A run that has failed has undone its nodes
    itself."""
    try:
        about, _ = runs.metadata(child)
        return done_nodes(app, runs, places_to_undo(app, runs, child, about), inside)
    except RunLost as exc:
        emit("run.lost", run=child, reason=f"its nodes cannot be undone: {exc}")
        return []


def places_to_undo(app: WorkflowServices, runs: RunStore, run: str, about: dict[str, Any]) -> list[NodeRef]:
    """The places of a run's nodes that may have to be undone: those with a compensation, or all of them where a task
    has returned a workflow with one."""
    numbers = range(int(about["nodes"])) if has_grown(app, runs, run) else about.get("compensated") or []
    return [NodeRef(run, about["attempts"][number], number) for number in numbers]


def begin_to_undo(
    app: WorkflowServices, runs: RunStore, run: str, attempt: int, places: Sequence[NodeRef]
) -> list[NodeDefinition]:
    """The compensations of a failed attempt; none if another one began before it had failed. No attempt that uses the
    values of these nodes begins from now on. Raises RunLost."""
    if not runs.mark(run, attempt, "undone") and attempt in runs.metadata(run)[0].get(NOT_UNDONE, ()):
        return []
    return compensations(done_nodes(app, runs, places))


def has_grown(app: WorkflowServices, runs: RunStore, run: str) -> bool:
    """Whether a workflow with a compensation, which a task has returned, runs or has run inside of a run."""
    (mark,) = runs.persist(lambda: app.backend.get_records([grown_id(run)]))
    return mark is not None


def mark_grown(app: WorkflowServices, runs: RunStore, outbox: Outbox, place: NodeRef | None) -> None:
    """Note in all runs around ``place`` that a workflow with a compensation runs there. Raises RunLost."""
    while place is not None:
        mark = grown_id(place.run)
        if runs.unchanging(mark, partial(_known_mark, app, mark)) is None:
            outbox.record(Record(mark, states.STARTED, None, None, []), in_run=True)
        # The mark of one run says nothing about those around it: on several servers they are not written in one step.
        place = NodeRef.of(runs.unchanging(f"{mark}.place", partial(_place_around, runs, place.run)))


def _known_mark(app: WorkflowServices, mark: str) -> Record | None:
    found: list[Record | None] = app.backend.get_records([mark])
    return found[0]


def _place_around(runs: RunStore, run: str) -> Any:
    return runs.metadata(run)[0].get("place") or ()


def undone_inside(
    app: WorkflowServices, runs: RunStore, places: Sequence[NodeRef], records: Sequence[Record | None]
) -> set[int]:
    """The numbers of the nodes of a failed run whose tasks returned workflows that have been undone."""
    if not places or not has_grown(app, runs, places[0].run):
        return set()
    return {child.node for child in _children(app, runs, places, records) if _has_compensations(app, runs, child.run)}


def _has_compensations(app: WorkflowServices, runs: RunStore, run: str) -> bool:
    with suppress(RunLost):
        return bool(runs.metadata(run)[0].get("compensated")) or has_grown(app, runs, run)
    return False


def compensations(done: Sequence[Done]) -> list[NodeDefinition]:
    """A node for each of the nodes to undo: it runs that node's ``compensate``.

    They run one after the other, the one of the node that ended last first; a failure does not keep the next from
    running.
    """
    entries: list[NodeDefinition] = []
    for _, one in sorted(enumerate(done), key=lambda pair: (pair[1].ended, pair[0]), reverse=True):
        args = list(one.compensate["args"])
        sig = {**one.compensate, "args": args if one.compensate["immutable"] else [one.value, *args]}
        before = [IncomingEdge(len(entries) - 1, "order")] if entries else []
        entries.append(NodeDefinition(f"undo {one.name}", "task", sig, sources=before, continue_on_failure=True))
    return entries
