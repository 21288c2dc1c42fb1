"""The task ``celery.chord_unlock``: it ends a chord in a result backend that counts no parts.

The task looks at the records of the header until all of them are final. Then their values become the parts of a ready
chord, whose end is a part of the task's own settlement: the body is sent, or fails, in one step with the task's ack.
"""

from collections.abc import Sequence
from typing import Any

from canvas.errors import ChordError, DecodeError, MaxRetriesExceededError
from canvas.model import states
from canvas.model.record import Record
from canvas.model.settlement import ReadyChord
from canvas.producer.outbox import ChordMembership, Outbox, PartOrigin
from canvas.result.handles import GroupResult, result_from_tuple
from canvas.task.task import Task
from canvas.workflows.services import WorkflowServices


def unlock(
    app: WorkflowServices, task: Task[Any], group_id: str, body: Any, header: Sequence[Any],
    interval: float | None, max_retries: int | None,
) -> None:  # fmt: skip
    """End the chord if its header is ready; else raise Retry, so that the task checks again after ``interval`` seconds.

    ``header``: its results in tuple form; ``interval``: ``result_chord_retry_interval`` by default. After
    ``max_retries`` checks (``None``: no limit) the members that are not ready count as failed.
    """
    group = GroupResult(group_id, [result_from_tuple(one, app) for one in header], app=app)
    ids = [leaf.id for leaf in group.leaves()]
    records = _records(app, ids)
    if any(record is None for record in records):
        seconds = app.conf.result_chord_retry_interval if interval is None else interval
        try:
            raise task.retry(countdown=seconds, max_retries=max_retries)
        except MaxRetriesExceededError as exc:
            late = ChordError(f"chord_unlock could not be retried: {exc}")
            records = [record or Record(name, states.FAILURE, late) for name, record in zip(ids, records, strict=True)]
    origin = PartOrigin(task.request.root_id, str(task.request.id))
    found = [record for record in records if record is not None]
    task.request.ready_chords = [_ready(app, group, body, found, origin)]


def _records(app: WorkflowServices, ids: Sequence[str]) -> list[Record | None]:
    """The records of tasks that have ended; ``None`` for others. A record that cannot be read is a failure."""
    try:
        found = app.backend.get_records(ids)
    except DecodeError:
        found = [_record(app, task_id) for task_id in ids]
    return [one if one is not None and one.status in states.READY_STATES else None for one in found]


def _record(app: WorkflowServices, task_id: str) -> Record | None:
    try:
        return app.backend.get_records([task_id])[0]
    except DecodeError as exc:
        return Record(task_id, states.FAILURE, exc)


def _ready(app: WorkflowServices, group: Any, body: Any, records: Sequence[Record], origin: PartOrigin) -> ReadyChord:
    """The chord with all its parts, and the structure of a header with groups inside."""
    outbox = Outbox(app)
    parts = []
    for position, record in enumerate(records):
        member = ChordMembership(record.task_id, group.id, position, body)
        parts.append(outbox.part_of(member, record.status, record.result, origin))
    nested = any(result.leaves() != [result] for result in group.results)
    structure = app.backend.encode_group(group.as_tuple()) if nested else None
    return ReadyChord(group.id, parts[-1].callback, [part.value for part in parts], structure)
