"""Nodes of runs whose task no worker has had so far: how their records show that they wait for it."""

from typing import Any

from canvas.model import states
from canvas.model.record import Record
from canvas.model.workflow_run import AWAITING_TASK, RUN_HEADER, STAMP, NodeRef, task_id_of
from canvas.workflows.services import WorkflowServices
from canvas.workflows.store import RunStore


def is_of_run(headers: dict[str, Any]) -> bool:
    """Whether a message with these headers is a part of a workflow's run."""
    stamps = headers.get("stamped_headers")
    return headers.get(RUN_HEADER) is not None or (isinstance(stamps, list | tuple) and STAMP in stamps)


def awaiting_task(
    app: WorkflowServices, runs: RunStore, task_id: str, headers: dict[str, Any], task: str | None
) -> list[Record]:
    """Store that a task, and the node that it is an item of, wait for a worker that has ``task``; ``None`` stores that
    they wait no longer. The record of a task that has ended is not changed. Raises OperationalError."""
    place = NodeRef.of(headers.get(RUN_HEADER))
    ids = [task_id]
    if place is not None and place.item is not None:
        ids.append(task_id_of(place._replace(item=None, size=None)))
    found: list[Record | None] = runs.persist(lambda: app.backend.get_records(ids))
    records: list[Record] = []
    for one, known in zip(ids, found, strict=True):
        if known is not None and known.status in states.READY_STATES:
            continue
        record = Record(one, states.STARTED, None if known is None else known.result, None, [])
        shown = {} if task is None else {"canvas": AWAITING_TASK, "task": task}
        kept = {} if known is None else known.extra
        record.extra = {**{name: value for name, value in kept.items() if name not in ("canvas", "task")}, **shown}
        records.append(record)
    return records
