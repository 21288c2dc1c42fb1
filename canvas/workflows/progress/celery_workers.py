"""Nodes of runs whose messages Celery workers have taken, because they consume the same queue.

Such a worker stores the task's result and does not start the next nodes; its records lack a field that canvas writes.
It discards messages of canvas' own tasks, and stores that they are not registered.
"""

from collections.abc import Sequence

from canvas.errors import NotRegistered
from canvas.model import states
from canvas.model.record import Record
from canvas.model.run_index import in_celery_form
from canvas.model.workflow_run import IN_ROUNDS, NodeRef, RunNode, task_id_of
from canvas.workflows.run_records import items_of, outlines
from canvas.workflows.services import WorkflowServices

_READ = 100
"""Items of a map whose records are read for a status, at most."""
_MAPS = 10
"""Maps of a run whose items are read for a status, at most."""
_ROUNDS = 2
"""Tasks of a loop, from its last one on, that are read for a status."""
_OF_TASKS = frozenset({"task", "map", "loop"})
"""Nodes each of whose tasks is recorded by the worker that runs it."""
_OWN_TASKS = "canvas."


def ran_by_celery(node: RunNode, record: Record | None, is_own: bool) -> bool:
    """Whether a Celery worker has ended the task of a node, or of an item of a map, with this record. ``is_own``: it is
    the record of the node.

    Canvas workers record when the task began, or that they ended the node without it."""
    if record is None or "date_start" in record.extra or "canvas" in record.extra:
        return False
    if _discarded(record) is not None:
        return True
    tasks = node.kind == "task" if is_own else node.kind in _OF_TASKS
    if not tasks or node.sig is None or node.sig["subtask_type"] is not None:
        return False
    return record.status == states.SUCCESS or (record.status == states.FAILURE and bool(record.traceback))


def _discarded(record: Record) -> str | None:
    """The name of canvas' own task that a Celery worker has discarded, by this record; ``None`` if it has not."""
    error = record.result
    if record.status != states.FAILURE or not isinstance(error, NotRegistered) or "date_start" in record.extra:
        return None
    task = str(error.args[0]) if error.args else ""
    return task if task.startswith(_OWN_TASKS) else None


def nodes_of_celery(
    about: dict[str, object], nodes: Sequence[RunNode], records: Sequence[Record | None]
) -> dict[str, str]:
    """By name, the nodes of a run whose messages Celery workers have taken, each with the task that they have
    discarded, or ''. Empty for a run in Celery's form."""
    if in_celery_form(about):
        return {}
    found: dict[str, str] = {}
    for node, record in zip(nodes, records, strict=True):
        if record is None or node.hidden:
            continue
        task = _discarded(record)
        if task is not None:
            found[node.name] = f"{task} was discarded"
        elif ran_by_celery(node, record, is_own=True):
            found[node.name] = ""
    return found


def items_of_celery(
    app: WorkflowServices, left: Sequence[tuple[NodeRef, RunNode]], records: Sequence[Record | None]
) -> dict[str, str]:
    """By name, the nodes among those ``left`` of which Celery workers have taken items or rounds, each with how many of
    the tasks that were looked at: of a large map some that are spread evenly, of a loop the last ones. ``records``:
    those of the nodes."""
    maps = [one for one in left if one[1].kind == "map"][:_MAPS]
    ids = {
        place: [task_id_of(place._replace(item=number, size=outline[0])) for number in _spread(outline[0])]
        for (place, _), outline in zip(maps, outlines(app, app.run_store, [place for place, _ in maps]), strict=True)
        if outline is not None
    }
    for (place, node), record in zip(left, records, strict=True):
        rounds = int(record.extra.get("rounds", 0)) if record is not None and node.kind in IN_ROUNDS else 0
        ids[place] = [*ids.get(place, ()), *map(task_id_of, list(items_of(place, 2 * rounds))[-_ROUNDS:])]
    read = iter(app.backend.get_records([one for some in ids.values() for one in some]))
    found: dict[str, str] = {}
    for place, node in left:
        taken = sum(ran_by_celery(node, next(read), is_own=False) for _ in ids[place])
        if taken:
            found[node.name] = f"{taken} of the {len(ids[place])} tasks that were looked at"
    return found


def _spread(size: int) -> Sequence[int]:
    """The numbers of the items to read of a map of this ``size``."""
    return range(size) if size <= _READ else [number * size // _READ for number in range(_READ)]
