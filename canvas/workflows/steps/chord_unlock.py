"""The task ``celery.chord_unlock``: it ends a Celery client's chord in a result backend where Celery counts no parts.

The task looks at the records of the header until all of them are final. Then their values become the parts of a chord
of known size, which a worker ends as any other: its body is sent, or fails, once.
"""

from collections.abc import Sequence
from typing import Any

from canvas.errors import ChordError, DecodeError, MaxRetriesExceededError
from canvas.model import states
from canvas.model.record import Record
from canvas.model.settlement import ChordStart
from canvas.producer.outbox import ChordMembership, Outbox, PartOrigin
from canvas.result.handles import GroupResult, result_from_tuple
from canvas.task.task import Task
from canvas.workflows.services import WorkflowServices


def unlock(
    app: WorkflowServices, task: Task[Any], group_id: str, body: Any, header: Sequence[Any],
    interval: float | None, max_retries: int | None,
) -> None:  # fmt: skip
    """End the chord if its header is ready; else raise Retry, which looks again after ``interval`` seconds.

    ``header``: its results in tuple form; ``interval``: ``result_chord_retry_interval`` by default. After
    ``max_retries`` looks (``None``: no limit) the members that are not ready count as failed.
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
    _end(app, group, body, [record for record in records if record is not None], PartOrigin(
        task.request.root_id, str(task.request.id)
    ))  # fmt: skip


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


def _end(app: WorkflowServices, group: Any, body: Any, records: Sequence[Record], origin: PartOrigin) -> None:
    """Make the chord ready: all its parts, and the structure of a header with groups inside.

    It has an id of its own: canvas' workers have counted parts of the header under the group's id, others have not.
    """
    effects, group_id = Outbox(app), f"{group.id}:unlock"
    for position, record in enumerate(records):
        member = ChordMembership(record.task_id, group_id, position, body)
        effects.part(member, record.status, record.result, origin)
    effects.parts = [part._replace(size=len(records)) for part in effects.parts]
    if any(result.leaves() != [result] for result in group.results):
        structure = app.backend.encode_group(group.as_tuple())
        effects.joins = [ChordStart(group_id, len(records), app.backend.chord_lives, structure)]
    app.driver.settler.settle([effects.settlement()])
