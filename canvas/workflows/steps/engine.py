"""The next steps of a run when one of its nodes ends: each step becomes part of the settlement of that end.

A node with one input starts at once. A node with several inputs is a chord whose parts are its inputs; the settlement
that adds the last part starts it. Nodes that run no task end in the same settlement. Steps that do not fit into one
settlement are left to a chord of one part, which is ready at once.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from canvas.errors import CompositionError, DecodeError, RunLost, UpstreamFailed, WorkflowFailed
from canvas.graph.run_nodes import limit_nodes, run_nodes
from canvas.model import states
from canvas.model.ids import Lineage
from canvas.model.message import Message
from canvas.model.record import Record
from canvas.model.settlement import MailboxStep, ReadyChord
from canvas.model.workflow_definition import NodeDefinition
from canvas.model.workflow_run import ANY, CANCEL, RUN_HEADER, SKIPPED, KnownInput, NodeRef, RunNode, task_id_of
from canvas.producer.outbox import NodeEnd, Outbox
from canvas.producer.send_errors import problem_of
from canvas.telemetry import emit
from canvas.text import safe_repr
from canvas.workflows.run_records import run_metadata
from canvas.workflows.services import WorkflowServices
from canvas.workflows.steps.attempt import FIRST, run_limit, upstream_failure
from canvas.workflows.steps.child_runs import (
    ChildRun,
    InnerWorkflow,
    kept_workflow,
    place_around,
    save_child,
    value_inside,
)
from canvas.workflows.steps.compensation import begin_to_undo, mark_grown, places_to_undo
from canvas.workflows.steps.node_rules import FAILED, inputs_of, verdict
from canvas.workflows.steps.nodes import NodeAttempt
from canvas.workflows.steps.waits import mailbox_of, wait_id
from canvas.workflows.store import RunStore


class RunEngine(NodeAttempt):
    """Takes the steps of one attempt of a run that belong to one settlement."""

    _begins = False
    """Whether the settlement starts the attempt."""
    _cancelled = False
    """Whether the attempt was cancelled before it began."""

    def on_task_end(self, place: NodeRef, state: str, value: Any) -> None:
        """Continue the run after the task of the node ``place`` has ended."""
        if place.item is None:
            self._end(place.node, state, value)
        elif place.is_timer:
            self.on_timer(place, state, value)
        elif self._node(place.node).kind == "loop":
            self._round_item(place, state, value)
        elif self._node(place.node).kind == "pages":
            self._page_item(place, state, value)
        else:
            self._item(place, state, value)
        self._drain()

    def begin(self, timeout: float | None) -> None:
        """Start the attempt, to be cancelled after ``timeout`` seconds."""
        self._begins = True
        if len(self._node(0).outs) > FIRST:
            self._left = FIRST
        self._record_run(Record(self._run, states.STARTED, None, None, []))
        if self._attempt:
            self._follow_attempts()
        self.schedule_cancellation(timeout)
        self._end(0, states.SUCCESS, None)
        self._drain()

    def schedule_cancellation(self, timeout: float | None) -> None:
        """Schedule the cancellation of the attempt, if it has a timeout."""
        if timeout is not None:
            sig = self._app.signature(CANCEL, (self._run, self._attempt), countdown=timeout, ignore_result=True)
            self._outbox.send(sig, Lineage(self._run))

    def _follow_attempts(self) -> None:
        """Read whether this attempt is cancelled already, and end the waits of earlier attempts, which would take its
        signals."""
        about, _ = self._runs.metadata(self._run)
        self._cancelled = about["cancelled"]
        for number, node in enumerate(self._runs.nodes(self._run, 0, about["nodes"])):
            for before in range(self._attempt) if node.kind == "wait" else ():
                wait = wait_id(before, number, "value")
                self._outbox.mail.append(MailboxStep(self._run, mailbox_of(node), "resolve", wait))

    def start_marker(self, timeout: float | None) -> ReadyChord:
        """The ready chord whose dispatch starts the attempt."""
        group = f"{self._run}.{self._attempt}.start"
        return ReadyChord(group, self._sealed_step(group, ["start", timeout]), [], None)

    def resume_step(self, step: Sequence[Any], parts: Sequence[KnownInput]) -> None:
        """Take the step that a ready chord of the run stands for.

        ``step``: the kind of the step, and its arguments. ``parts``: input, state and value of each part."""
        kind, number = step[0], step[1] if len(step) > 1 else 0
        match kind:
            case "start":
                self.begin(number or None)
            case "node":
                self._start(number, parts)
            case "woken":
                self._woken(number, step[2], *parts[0])
            case "items" | "failures" | "lane" | "map" | "unit":
                self._resume_map(step, parts)
            case "page":
                self._on_page(number, step[2], parts)
            case "undo":
                self._compensate([NodeRef(self._run, attempt, number) for number, attempt in step[1]], step[2])
            case "outs":
                self._ended.append((number, step[2], parts[0][1], parts[0][2]))
            case _:
                raise CompositionError(f"run {self._run}: expected a step of a run; got {kind!r:.100}")
        self._drain()

    def fail_step(self, step: Sequence[Any], exc: RunLost) -> None:
        """Fail the node of a chord whose state is gone before it had all its parts."""
        kind, number = step[0], step[1]
        if kind == "node" and self._node(number).kind == "end":
            self._finish(self._node(number), [KnownInput(0, states.FAILURE, exc)])
        else:
            self._fail(number, exc, begun=kind != "node")
        self._drain()

    def _drain(self) -> None:
        while self._ended or self._calls:
            if not self._ended:
                self._send_calls()
                continue
            number, first, state, value = self._ended.pop()
            node = self._nodes[number] if number in self._nodes else self._node(number)
            for place in range(first, len(node.outs)):
                if self._left <= 0:
                    self._part(f"{number}.outs.{place}", 0, state, value, ["outs", number, place], 1)
                    break
                self._left -= 1
                self._deliver(node, node.outs[place], state, value)

    def _deliver(self, node: RunNode, out: Any, state: str, value: Any) -> None:
        if node.kind == "choose" and state == states.SUCCESS:
            state, value = (states.SUCCESS, None) if out.arm == value else (SKIPPED, None)
        target = self._node(out.node)
        if "feeder" in target.details and target.is_fed:
            return  # it ends with the items of the map before it
        if target.slots[out.slot] != "data" and state == states.SUCCESS:
            value = None
        if target.when in ANY and len(target.slots) > 1:
            self._arrive(out, state, value)
        elif (missing := target.open_slots) == 1:
            self._start(out.node, [KnownInput(out.slot, state, value)])
        else:
            self._part(str(out.node), out.slot, state, value, ["node", out.node], missing)

    def _start(self, number: int, came: Sequence[KnownInput]) -> None:
        """Start a node that has all its inputs."""
        node = self._node(number)
        alone = len(came) == len(node.slots) == 1  # most nodes have one input
        inputs = came if alone else inputs_of(node, came)
        if node.kind == "end":
            self._finish(node, inputs)
            return
        how = "run" if alone and came[0].state == states.SUCCESS else verdict(node, inputs)
        if how == "run" and self._cancelled and not (node.always or node.hidden):
            self._revoke(number)
        elif how == "run":
            self._expect_end(number, node)
            problem = problem_of(lambda: self._run_node(number, node, inputs))
            if problem is not None:
                self._fail(number, problem, begun=True)
        elif isinstance(how, KnownInput):
            self._fail(number, upstream_failure(node.name, how.value))
        else:
            self._skip(number)

    def _finish(self, node: RunNode, inputs: Sequence[KnownInput]) -> None:
        # The failure of a map that feeds another one is that of the other one's items.
        feeders = node.details.get("feeders", ())
        failed = next((one.value for one in inputs if one.state in FAILED and one.slot not in feeders), None)
        cause = failed.cause if isinstance(failed, UpstreamFailed) else safe_repr(failed)
        error = None if failed is None else WorkflowFailed(self._run, cause)
        state = states.SUCCESS if error is None else states.FAILURE
        record = Record(self._run, state, error, None, [])
        record.date_done = self._app.now().isoformat()
        self._record_run(record)
        if "outcome" in node.details and (error is not None or not self._succeed_around(node, inputs)):
            self._outbox.send(node.details["outcome"], Lineage(self._run, self._parent))
        if error is not None:
            about, _ = self._runs.metadata(self._run)
            undo = places_to_undo(self._app, self._runs, self._run, about)
            if undo:
                # Another settlement takes this step: this one may be the one that stores the success of a node to undo.
                places = [[place.node, place.attempt] for place in undo]
                self._part("undo", 0, states.FAILURE, None, ["undo", places, about["name"]], 1)
                return
        self._runs.ended(self._run, self._attempt)

    def _succeed_around(self, end: RunNode, inputs: Sequence[KnownInput]) -> bool:
        """End the node that this run stands for with its value; False if a message has to do that.

        It has to if this run ends with its own first settlement, whose records the next nodes around may read; and if
        the node has a limit: the step that finds it in time records its success."""
        place = None if self._begins else place_around(end)
        if place is None or is_recorded_later(self._runs, place):
            return False
        record = Record(task_id_of(place), states.SUCCESS, value_inside(end, inputs), None, [], parent_id=self._parent)
        record.date_done = self._app.now().isoformat()
        record.extra = {"child": self._run, "date_start": end.details["began"]}
        problem = problem_of(lambda: self._outbox.record(record, in_run=True))
        if problem is not None:
            return False
        self._outbox.ends.append(NodeEnd(place, states.SUCCESS, record.result, record.task_id))
        return True

    def _compensate(self, places: Sequence[NodeRef], name: str) -> None:
        """Start the compensations as a run of their own, with an id that is derived from this run's."""
        entries = begin_to_undo(self._app, self._runs, self._run, self._attempt, places)
        if entries:
            run, nodes = f"{self._run}.{self._attempt}.undo", run_nodes(entries)
            self._runs.save(run, run_metadata(f"undo {name}", nodes, self._app.now()), nodes)
            RunEngine(self._app, self._runs, self._outbox, run, 0, self._parent).begin(None)
        self._runs.ended(self._run, self._attempt)


def advance_all(app: WorkflowServices, runs: RunStore, outbox: Outbox, parent: str | None) -> None:
    """Start the next steps of each node that ends in a run by ``outbox.ends``."""
    while outbox.ends:
        place, state, value, own = outbox.ends.pop()
        try:
            engine = RunEngine(app, runs, outbox, place.run, place.attempt, own or parent)
            engine.on_task_end(place, state, value)
        except (RunLost, DecodeError) as exc:
            end_lost(outbox, place.run, place.attempt, exc)


def is_recorded_later(runs: RunStore, place: NodeRef | None) -> bool:
    """Whether a later step records the success, or the revocation, of a node's task: for a node with a limit, the step
    that finds it in time. ``place`` is ``None`` for a task that is not a node."""
    if place is None or place.item is not None:
        return False
    try:
        return runs.node(place.run, place.attempt, place.node).ends_once
    except (RunLost, DecodeError):
        return False


class Composed(Protocol):
    """A workflow that a task has returned."""

    name: str
    entries: list[NodeDefinition]


def start_in_place(
    app: WorkflowServices,
    runs: RunStore,
    outbox: Outbox,
    message: Message,
    workflow: Composed | InnerWorkflow,
    outcome: Mapping[str, Any],
) -> None:
    """Start a run of ``workflow`` in the place of a task, whose message this is; ``outcome`` is the signature of a task
    that ends as the run does.

    Raises CompositionError, TaskRevokedError, RunLost.
    """
    place = NodeRef.of(message.headers.get(RUN_HEADER))
    if isinstance(workflow, InnerWorkflow):
        name, nodes = kept_workflow(runs, place, workflow.inputs)
    else:
        name, nodes = workflow.name, run_nodes(workflow.entries)
        limited = run_limit(message.headers.get("stamps"))
        if limited is not None:
            limit_nodes(nodes, limited[1])
    new = ChildRun(message.id, name, nodes, outcome, place, certain=isinstance(workflow, InnerWorkflow))
    child = save_child(app, runs, outbox, new)
    if any(node.has_compensation for node in nodes):
        mark_grown(app, runs, outbox, place)
    RunEngine(app, runs, outbox, child, 0, message.id).begin(None)


def end_lost(outbox: Outbox, run: str, attempt: int, exc: Exception) -> None:
    """End a run in failure because data that it needs is gone."""
    emit("run.lost", run=run, reason=str(exc))
    record = Record(run, states.FAILURE, exc, None, [])
    record.extra = {"attempt": attempt}
    outbox.record_run(record, in_run=False)
