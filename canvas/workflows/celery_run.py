"""Runs in Celery's own form, which unmodified Celery workers run."""

from typing import Any

from canvas.errors import CompositionError
from canvas.model.ids import Lineage
from canvas.model.settlement import ChordStart
from canvas.model.workflow_run import NodeRef, RunNode, stamp_options, task_id_of
from canvas.producer.outbox import Outbox
from canvas.workflows.services import WorkflowServices


def embed_run(
    app: WorkflowServices,
    outbox: Outbox,
    run: str,
    attempt: int,
    name: str,
    nodes: list[RunNode],
    ended: dict[int, tuple[str, Any]],
) -> None:
    """Add the first messages of an attempt to ``outbox``; they carry the other nodes.

    The values of nodes that have ``ended`` come from identity tasks. Raises CompositionError for a message that would
    be larger than ``task_message_max_bytes``.
    """
    # Imported late: networkx takes longer to load than all else that a worker needs.
    from canvas.graph.wire_signature import estimated_bytes
    from canvas.graph.workflow_embeddings import WorkflowEmbeddings

    def id_of(number: int) -> str:
        return app.new_id() if number in ended else task_id_of(NodeRef(run, attempt, number))

    found = WorkflowEmbeddings(nodes, id_of, app.new_id, stamp_options(run, attempt))
    roots, limit = found.roots(), app.conf.task_message_max_bytes
    largest = max(estimated_bytes(roots))
    if limit and largest > limit:
        raise CompositionError(
            f"{name}: a message would have about {largest:,} bytes, more than task_message_max_bytes "
            f"({limit:,}): the nodes after {found.largest_contributor()!r} stand in each of its parents' messages; "
            "give that node fewer parents, or run it on canvas workers (target='canvas')"
        )
    if found.chords:
        app.backend.ensure_parts_counted(f"{name}, whose nodes have several parents, on Celery workers,")
    for root in roots:
        outbox.send(root, Lineage(run))
    expires, kept = app.backend.chord_lives, app.backend.chords_ended_by_celery
    outbox.chord_starts += [
        ChordStart(one.group_id, one.size, expires, app.backend.encode_group(one.header()) if kept else None)
        for one in found.chords
    ]
