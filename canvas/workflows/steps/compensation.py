"""The compensations of a failed run: which nodes are undone, and in which order."""

from collections.abc import Sequence

from canvas.model import states
from canvas.model.record import Record
from canvas.model.workflow_definition import IncomingEdge, NodeDefinition
from canvas.model.workflow_run import SKIPPED, RunNode


def compensations(nodes: Sequence[tuple[int, RunNode]], records: Sequence[Record | None]) -> list[NodeDefinition]:
    """A node for each of the ``nodes`` (with their numbers) that has succeeded by its record: it runs that node's
    ``compensate``.

    They run one after the other, the one of the node that ended last first; a failure does not keep the next from
    running.
    """
    done = [
        (record.date_done or "", number, node, record.result)
        for (number, node), record in zip(nodes, records, strict=True)
        if record is not None and record.status == states.SUCCESS and record.extra.get("canvas") != SKIPPED
    ]
    entries: list[NodeDefinition] = []
    for _, _, node, value in sorted(done, key=lambda one: (one[0], one[1]), reverse=True):
        assert node.compensate is not None
        args = list(node.compensate["args"])
        sig = {**node.compensate, "args": args if node.compensate["immutable"] else [value, *args]}
        before = [IncomingEdge(len(entries) - 1, "order")] if entries else []
        entries.append(NodeDefinition(f"undo {node.name}", "task", sig, sources=before, continue_on_failure=True))
    return entries
