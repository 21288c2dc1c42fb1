"""Nodes of runs whose tasks Celery workers have run, because they consume the same queue.

Such a worker stores the task's result and does not start the next nodes. Its records lack a field that canvas writes.
"""

from collections.abc import Sequence

from canvas.model import states
from canvas.model.record import Record
from canvas.model.run_index import in_celery_form
from canvas.model.workflow_run import NodeRef, RunNode, task_id_of
from canvas.workflows.lifetimes import items_of, outlines
from canvas.workflows.services import WorkflowServices

_ITEMS = 1_000
"""Items of a map whose records are read, at most."""


def ran_by_celery(node: RunNode, record: Record | None) -> bool:
    """Whether a Celery worker has ended the task of a node, or of an item of a map, with this record.

    Canvas workers record when it began."""
    if record is None or node.sig is None or node.sig["subtask_type"] is not None or "date_start" in record.extra:
        return False
    return record.status == states.SUCCESS or (record.status == states.FAILURE and bool(record.traceback))


def nodes_of_celery(about: dict[str, object], nodes: Sequence[RunNode], records: Sequence[Record | None]) -> list[str]:
    """The names of the nodes of a run whose tasks Celery workers have ended; none where that is the form of the run."""
    if in_celery_form(about):
        return []
    found = zip(nodes, records, strict=True)
    return [node.name for node, record in found if node.kind == "task" and ran_by_celery(node, record)]


def has_items_of_celery(app: WorkflowServices, open_nodes: Sequence[tuple[NodeRef, RunNode]]) -> bool:
    """Whether a Celery worker has ended an item of one of these maps."""
    maps = [(place, node) for place, node in open_nodes if node.kind == "map"]
    for (place, node), outline in zip(maps, outlines(app, app.run_store, [place for place, _ in maps]), strict=True):
        items = list(items_of(place, min(_ITEMS, outline[0] if outline is not None else 0)))
        if items and any(ran_by_celery(node, one) for one in app.backend.get_records(list(map(task_id_of, items)))):
            return True
    return False
