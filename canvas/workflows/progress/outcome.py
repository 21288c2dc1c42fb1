"""The value of a run that has ended, from the records of its last nodes."""

from typing import Any

from canvas.model import states
from canvas.model.workflow_run import NodeRef, task_id_of
from canvas.workflows.run import Run
from canvas.workflows.services import WorkflowServices


def outcome_of(app: WorkflowServices, run: str) -> Any:
    """The value of a run that has ended. Raises the error of the node that failed, TaskRevokedError, RunLost."""
    about, attempt = app.run_store.metadata(run)
    last = about.get("last") or []
    ids = [task_id_of(NodeRef(run, about["attempts"][number], number)) for number, _ in last]
    own, *records = app.backend.get_records([run, *ids])
    ended = own is not None and own.status == states.SUCCESS and own.extra.get("attempt") == attempt
    if ended and all(record is not None and record.status == states.SUCCESS for record in records):
        values = {name: record.result for (_, name), record in zip(last, records, strict=True) if record is not None}
        return next(iter(values.values())) if len(last) == 1 else values
    found = Run.find(app, run)
    return found.conclude(found.status().state)
