"""Runs of workflows inside of runs: in the place of a node, or of a task that returned a workflow.

The settlement that ends a run inside with success ends the node that it stands for, and starts the nodes after it. For
every other end, and if more than the run around depends on the task in whose place it runs, the run inside sends a
task, ``canvas.run_outcome``, when it has ended: this task has the place's id, and ends as the run did.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from canvas.errors import CompositionError, RunLost, TaskRevokedError
from canvas.model import states
from canvas.model.record import Record
from canvas.model.workflow_run import (
    RUN_HEADER,
    RUN_OUTCOME,
    RUN_WORKFLOW,
    WORKFLOWS,
    KnownInput,
    NodeRef,
    RunNode,
    child_run_of,
    extract,
    last_nodes,
    stamp_options,
    task_id_of,
)
from canvas.producer.outbox import Outbox
from canvas.workflows.run_records import run_metadata
from canvas.workflows.services import WorkflowServices
from canvas.workflows.steps.earlier_attempts import usable_before
from canvas.workflows.steps.node_rules import value_of
from canvas.workflows.store import RunStore

INSIDE = "inside"
"""The key in a run's metadata under which, by the number of a node, is the node from which the run in its place runs
again."""
_OF_OUTCOME = frozenset({"link", "link_error", "chain", "chord", "group_id"})
"""Options that make a task's end act outside of the run: ``canvas.run_outcome`` in its place needs them too."""


def goes_on_inside(node: RunNode) -> bool:
    """Whether another attempt continues the run in a node's place. A task whose signature names messages to send after
    it runs again instead: the task alone knows them."""
    if node.kind != "task" or node.sig is None:
        return node.kind == "flow"
    return node.sig["subtask_type"] is None and _OF_OUTCOME.isdisjoint(node.sig["options"])


def goes_on_inside_parts(node: RunNode) -> bool:
    """Whether another attempt continues the runs in the places of a node's items, or of its rounds."""
    sig = node.sig
    plain = sig is not None and sig["subtask_type"] is None and _OF_OUTCOME.isdisjoint(sig["options"])
    return plain and "batch" not in node.details


def check_depth(app: WorkflowServices, depth: int, name: str) -> None:
    """Raise CompositionError where workflows are nested too deeply."""
    most = int(app.conf.workflow_max_depth)
    if depth > most:
        raise CompositionError(
            f"{name}: workflows are nested {depth} deep, more than workflow_max_depth ({most}): does a task return a "
            "workflow that runs the same task again? Let it return a value at last, or use flow.loop"
        )


def depth_inside(app: WorkflowServices, runs: RunStore, place: NodeRef | None) -> int:
    """The depth of a run inside of ``place``. Raises TaskRevokedError where the run of the place is cancelled."""
    if place is None:
        return 1
    about, attempt = runs.metadata(place.run)
    if attempt != place.attempt or about["cancelled"]:
        raise TaskRevokedError("revoked")
    return int(about.get("depth", 0)) + 1


class ChildRun(NamedTuple):
    """The run of a workflow in the place of a task."""

    task_id: str
    name: str
    nodes: Sequence[RunNode]
    outcome: Mapping[str, Any]
    """The signature of its last task."""
    place: NodeRef | None
    """The node that the task runs for, if any."""
    certain: bool = True
    """Whether the step that starts it gives the same nodes if it is repeated."""


def save_child(app: WorkflowServices, runs: RunStore, outbox: Outbox, new: ChildRun) -> str:
    """Add a run inside to ``outbox``, and note it in the record of its task. Returns its id.

    Raises CompositionError, TaskRevokedError, RunLost.
    """
    nodes, place = new.nodes, new.place
    depth = depth_inside(app, runs, place)
    check_depth(app, depth, new.name)
    child, about = child_run_of(new.task_id), run_metadata(new.name, nodes, app.now())
    last = [[number, nodes[number].name] for number in last_nodes(nodes)]
    _give_outcome(nodes, last, new.outcome, app.now().isoformat())
    about |= {"depth": depth, "parent": new.task_id, "last": last}
    if place is not None:
        about["place"] = place.as_list()
    outbox.runs.append(runs.new_inside(child, about, nodes))
    outbox.unstored.append(runs.know_unstored(child, 0, nodes, about, new.certain))
    record = Record(new.task_id, states.STARTED, None, None, [])
    record.extra = {"child": child}
    outbox.record(record, in_run=True)
    return child


def refuse_inside(run: str, about: Mapping[str, Any]) -> None:
    """Raise CompositionError for the resumption of a run in the place of another run's node: only that one can go on
    with its value. ``about``: its metadata."""
    place = NodeRef.of(about.get("place"))
    if place is not None:
        raise CompositionError(
            f"run {run} stands in the place of a node of run {place.run}: resume that run, which goes on inside"
        )


def _give_outcome(nodes: Sequence[RunNode], last: list[list[Any]], outcome: Mapping[str, Any], began: str) -> None:
    """Give the end node of a run the values of its ``last`` nodes as inputs, and the signature of its outcome."""
    end, by_slot = nodes[-1], []
    for number, name in last:
        slot = next(out.slot for out in nodes[number].outs if out.node == len(nodes) - 1)
        end.slots[slot] = "data"
        by_slot.append([slot, name])
    end.details = {**end.details, "outcome": dict(outcome), "last": by_slot, "began": began}


def place_around(end: RunNode) -> NodeRef | None:
    """The place in the run around that a run with this end node ends; ``None`` if a message has to end it."""
    outcome = end.details["outcome"]
    if (
        "last" not in end.details
        or outcome["subtask_type"] is not None
        or not _OF_OUTCOME.isdisjoint(outcome["options"])
    ):
        return None
    return NodeRef.of(outcome["options"].get(RUN_HEADER))


def value_inside(end: RunNode, inputs: Sequence[KnownInput]) -> Any:
    """The value of a run that has succeeded, by the inputs of its end."""
    values = {name: value_of(inputs[slot]) for slot, name in end.details["last"]}
    return next(iter(values.values())) if len(values) == 1 else values


def outcome_of_node(app: WorkflowServices, place: NodeRef, child: str) -> dict[str, Any]:
    """The signature of the task that ends as the run ``child`` in the place of a node."""
    stamp = stamp_options(place.run, place.attempt)
    sig = app.signature(RUN_OUTCOME, (child,), immutable=True, ignore_result=False, **stamp)
    options: dict[str, Any] = {"task_id": task_id_of(place), RUN_HEADER: place.as_list()}
    return dict(sig.set(**options))


def child_before(runs: RunStore, place: NodeRef) -> str | None:
    """The run that an earlier attempt had in the place of a node, if there is one that may go on."""
    for earlier in usable_before(runs, place):
        child = child_run_of(task_id_of(earlier))
        try:
            runs.metadata(child)
        except RunLost:
            continue
        return child
    return None


def with_inputs(nodes: list[RunNode], node: RunNode, values: Sequence[Any]) -> list[RunNode]:
    """The nodes of the workflow in the place of ``node``, with the values of its inputs."""
    given = {bind.path[-1]: extract(values[bind.slot], bind.pick, bind.slot) for bind in node.binds}
    return given_inputs(nodes, {**node.details["inputs"], **given})


def given_inputs(nodes: list[RunNode], given: Mapping[str, Any]) -> list[RunNode]:
    """The nodes of a workflow with these values of its inputs, by name."""
    for inside in nodes:
        if inside.kind == "input" and inside.name in given:
            inside.details = {**inside.details, "value": given[inside.name]}
    return nodes


class InnerWorkflow:
    """The value of the task RUN_WORKFLOW: the workflow of the node that it is an item of, with these inputs."""

    def __init__(self, inputs: dict[str, Any]) -> None:
        self.inputs = inputs


WORKFLOWS.add(InnerWorkflow)


def kept_workflow(runs: RunStore, place: NodeRef | None, inputs: Mapping[str, Any]) -> tuple[str, list[RunNode]]:
    """The name and the nodes of the workflow that a map runs for its items, or a loop in its rounds, with these inputs.

    Raises RunLost, and CompositionError for a place that has none."""
    details = {} if place is None else runs.node(place.run, place.attempt, place.node).details
    if "nodes" not in details:
        raise CompositionError(f"{RUN_WORKFLOW} runs only for the items of a map, and in the rounds of a loop")
    return str(details["name"]), given_inputs([RunNode.from_list(one) for one in details["nodes"]], inputs)


def input_value(node: RunNode) -> Any:
    """The value of an input of a workflow. Raises CompositionError for one that has none."""
    for key in ("value", "default"):
        if key in node.details:
            return node.details[key]
    raise CompositionError(
        f"{node.name}: this input of the workflow has no value; give it by inputs={{{node.name!r}: …}}"
    )
