"""Nodes of runs whose success is no more than one input of one node that waits for others too: most nodes are."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from canvas.app.application import Canvas
from canvas.model import states
from canvas.model.record import in_tuple_form
from canvas.model.settlement import Part
from canvas.model.workflow_run import ANY, NodeRef, RunNode
from canvas.workflows.steps.attempt import StepForm
from canvas.workflows.store import RunStore


class Join(NamedTuple):
    """The node after such nodes, in one attempt of a run."""

    run: str
    attempt: int
    number: int
    node: RunNode
    missing: int
    """How many inputs it waits for."""
    form: StepForm
    """Writes its parts."""


class PlainEnd(NamedTuple):
    """The effects of a success on other nodes of its run."""

    parts: Sequence[Part]
    joins_task: bool
    """Whether the node after it runs a task, which may be sent along. The end of a run never is."""


NO_END: Final = PlainEnd((), False)
"""The end of a task outside of runs."""


class PlainEnds:
    """The parts that such nodes add, for one app. From any thread."""

    def __init__(self, app: Canvas, runs: RunStore) -> None:
        self._app = app
        self._runs = runs
        self._last: Join | None = None
        """The join of the node before: nodes that end one after the other often have it in common."""

    def of(self, place: NodeRef, value: Any, parent: str) -> PlainEnd | None:
        """The part that the success of the node ``place`` adds to the only node after it; ``None`` where its end does
        more. ``parent``: the id of its task. ``RunEngine`` adds the same part.

        Raises RunLost, EncodeError."""
        if place.item is not None:
            return None
        node = self._runs.node(place.run, place.attempt, place.node)
        if node.kind != "task" or node.limit is not None or len(node.outs) != 1:
            return None
        number, slot, _ = node.outs[0]
        join = self._last
        if join is None or join.run != place.run or join.number != number or join.attempt != place.attempt:
            join = self._join(place, number)
            if join is None:
                return None
        target = join.node
        given = in_tuple_form(value) if target.slots[slot] == "data" else None
        part = join.form.part(slot, (states.SUCCESS, given), join.missing, parent)
        return PlainEnd((part,), target.kind == "task")

    def _join(self, place: NodeRef, number: int) -> Join | None:
        target = self._runs.node(place.run, place.attempt, number)
        missing = target.open_slots
        if missing < 2 or target.when in ANY or "feeder" in target.details:
            return None
        group = f"{place.run}.{place.attempt}.{number}"
        form = StepForm(self._app, (place.run, place.attempt), group, ["node", number])
        join = self._last = Join(place.run, place.attempt, number, target, missing, form)
        return join
