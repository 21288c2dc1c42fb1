"""Cancelling nodes of a run: revoked tasks, waits that end, runs inside of it."""

from collections.abc import Iterable, Sequence

from canvas.model import states
from canvas.model.record import Record
from canvas.model.workflow_run import NodeRef, RunNode, task_id_of
from canvas.workflows.lifetimes import items_of, outlines, rounds_of
from canvas.workflows.services import WorkflowServices
from canvas.workflows.steps.chord_callbacks import change_mailboxes
from canvas.workflows.steps.waits import cancelled_wait

_WAITING = frozenset({"sleep", "wait"})


def end_waits(app: WorkflowServices, nodes: Sequence[tuple[NodeRef, RunNode]]) -> None:
    """End the waits of these nodes, also those that have not begun."""
    mail = [cancelled_wait(app, place, node) for place, node in nodes if node.kind in _WAITING]
    if mail:
        change_mailboxes(app, mail)


def children(records: Iterable[Record | None]) -> list[str]:
    """The runs inside of a run that have not ended, by the records of its nodes."""
    return [
        str(record.extra["child"])
        for record in records
        if record is not None and record.status == states.STARTED and "child" in record.extra
    ]


def open_nodes(
    app: WorkflowServices, places: Sequence[NodeRef], nodes: Sequence[RunNode], records: Sequence[Record | None]
) -> list[tuple[NodeRef, RunNode]]:
    """Those of these nodes that have not ended, or whose task may still run."""
    return [
        (place, node)
        for place, node, record in zip(places, nodes, records, strict=True)
        if record is None or record.status not in states.READY_STATES or _failed_by_limit(node, record)
    ]


def _failed_by_limit(node: RunNode, record: Record) -> bool:
    """Whether the node's record says that it took too long: its task may still run."""
    return node.limit is not None and record.status == states.FAILURE


def task_ids(app: WorkflowServices, place: NodeRef, node: RunNode) -> list[str]:
    """The ids of the tasks that may run for a node."""
    ids = [task_id_of(place)]
    if node.kind == "map":
        (outline,) = outlines(app, app.run_store, [place])
        ids += [task_id_of(item) for item in items_of(place, outline[0] if outline is not None else 0)]
    elif node.kind == "loop":
        ids += [task_id_of(item) for item in items_of(place, 2 * rounds_of(app, app.run_store, [place])[0])]
    return ids
