"""Nodes of runs whose success is no more than one input of one node that waits for others too: most nodes are."""

from typing import Any

from canvas.app.application import Canvas
from canvas.model import states
from canvas.model.record import in_tuple_form
from canvas.model.settlement import Part
from canvas.model.workflow_run import ANY, NodeRef
from canvas.workflows.steps.attempt import step_part
from canvas.workflows.store import RunStore


def plain_part(app: Canvas, runs: RunStore, place: NodeRef, value: Any, parent: str) -> Part | None:
    """The part that the success of the node ``place`` adds to the only node after it; ``None`` where its end does more.
    ``parent``: the id of its task. ``RunEngine`` adds the same part.

    Raises RunLost, EncodeError."""
    if place.item is not None:
        return None
    node = runs.node(place.run, place.attempt, place.node)
    if node.kind != "task" or node.limit is not None or len(node.outs) != 1:
        return None
    out = node.outs[0]
    target = runs.node(place.run, place.attempt, out.node)
    missing = target.open_slots
    if missing < 2 or target.when in ANY or "feeder" in target.details:
        return None
    given = in_tuple_form(value) if target.slots[out.slot] == "data" else None
    group, step = f"{place.run}.{place.attempt}.{out.node}", ["node", out.node]
    return step_part(app, (place.run, place.attempt), group, out.slot, (states.SUCCESS, given), step, missing, parent)
