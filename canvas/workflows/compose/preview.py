"""A preview of the messages and records of a workflow's run."""

from typing import TYPE_CHECKING, NamedTuple

from canvas.errors import CompositionError
from canvas.graph.run_nodes import run_nodes
from canvas.graph.wire_signature import estimated_bytes
from canvas.graph.workflow_embeddings import WorkflowEmbeddings
from canvas.model.workflow_run import NodeRef, stamp_options, task_id_of
from canvas.wire.run_compression import encoded_chunks

if TYPE_CHECKING:
    from canvas.workflows.compose.builder import Workflow


class Preview(NamedTuple):
    """Sizes of a run, in each of its forms."""

    nodes: int
    edges: int
    plan_bytes: int
    """The data that a run for canvas workers keeps in the result backend."""
    messages: list[tuple[str, int]]
    """The messages that a run for Celery workers sends at its start: each task, and its approximate size."""
    chords: int
    """Chords that start then."""
    refusal: str | None
    """Why Celery workers cannot run it; ``None`` if they can."""


def preview(flow: "Workflow") -> Preview:
    """Compile, and send nothing. Raises CompositionError."""
    nodes = run_nodes(flow.entries)
    app, edges = flow.app, sum(len(entry.sources) for entry in flow.entries)
    plan_bytes = sum(map(len, encoded_chunks(nodes, app.conf.task_serializer)))
    run = app.new_id()
    try:
        embeddings = WorkflowEmbeddings(
            nodes, lambda number: task_id_of(NodeRef(run, 0, number)), app.new_id, stamp_options(run, 0)
        )
        roots = embeddings.roots()
    except CompositionError as exc:
        return Preview(len(flow), edges, plan_bytes, [], 0, str(exc))
    names = [root["task"] for root in roots]
    messages = list(zip(names, estimated_bytes(roots), strict=True))
    return Preview(len(flow), edges, plan_bytes, messages, len(embeddings.chords), None)
