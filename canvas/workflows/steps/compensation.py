"""The compensations of a failed run: which nodes are undone, and in which order."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

from canvas.errors import RunLost
from canvas.model import states
from canvas.model.record import Record
from canvas.model.workflow_definition import IncomingEdge, NodeDefinition
from canvas.model.workflow_run import SKIPPED, NodeRef, RunNode, task_id_of
from canvas.telemetry import emit
from canvas.workflows.lifetimes import items_of, outlines, page_work
from canvas.workflows.services import WorkflowServices
from canvas.workflows.steps.child_runs import child_before
from canvas.workflows.steps.earlier_attempts import usable_before
from canvas.workflows.store import RunStore

_AT_ONCE = 1_000
"""Records of items that one call reads."""


class Done(NamedTuple):
    """A node, or an item of a map, that has succeeded, and what undoes it."""

    ended: str
    name: str
    compensate: dict[str, Any]
    value: Any


def done_nodes(app: WorkflowServices, runs: RunStore, places: Sequence[NodeRef], inside: str = "") -> list[Done]:
    """Those of these nodes that have succeeded and have a compensation, and those in the runs in their places.

    ``inside``: the names of the nodes around them."""
    found: list[Done] = []
    ids = [task_id_of(place) for place in places]
    records: list[Record | None] = runs.persist(lambda: app.backend.get_records(ids))
    for place, record in zip(places, records, strict=True):
        node = runs.node(place.run, place.attempt, place.node)
        for child in _children(runs, place, node, record):
            found += _done_inside(app, runs, child, f"{inside}{node.name}/")
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


def _children(runs: RunStore, place: NodeRef, node: RunNode, record: Record | None) -> Iterator[str]:
    """The runs that were in a node's place, of its latest attempt."""
    places = [place] if node.kind == "flow" else []
    if node.kind == "pages" and record is not None:
        places = [page_work(place, page) for page in range(int(record.extra.get("rounds", 0)))]
    for one in places:
        child = child_before(runs, one._replace(attempt=one.attempt + 1))
        if child is not None:
            yield child


def _done_inside(app: WorkflowServices, runs: RunStore, child: str, inside: str) -> list[Done]:
    """The nodes to undo of a run in a node's place. A run that has failed has undone its nodes itself."""
    (own,) = runs.persist(lambda: app.backend.get_records([child]))
    if own is None or own.status != states.SUCCESS:
        return []
    try:
        about, _ = runs.metadata(child)
        return done_nodes(app, runs, places_to_undo(child, about), inside)
    except RunLost as exc:
        emit("run.lost", run=child, reason=f"its nodes cannot be undone: {exc}")
        return []


def places_to_undo(run: str, about: dict[str, Any]) -> list[NodeRef]:
    """The places of a run's nodes that may have to be undone, by its metadata."""
    return [NodeRef(run, about["attempts"][number], number) for number in about.get("compensated") or []]


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
