"""The start of a node that has its inputs, by its kind."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from canvas.errors import NodeTimeout, TaskRevokedError
from canvas.model import states
from canvas.model.workflow_run import (
    SKIPPED,
    KnownInput,
    NodeRef,
    RunNode,
    bind_inputs,
    child_run_of,
    extract,
    task_id_of,
)
from canvas.workflows.steps.attempt import by_policy, upstream_failure
from canvas.workflows.steps.child_runs import (
    INSIDE,
    ChildRun,
    child_before,
    goes_on_inside,
    input_value,
    outcome_of_node,
    save_child,
    with_inputs,
)
from canvas.workflows.steps.node_rules import FAILED, value_of
from canvas.workflows.steps.pages import PagesAttempt

Inputs = Sequence[KnownInput]


class NodeAttempt(PagesAttempt):
    """An attempt that starts nodes of every kind."""

    def _run_node(self, number: int, node: RunNode, inputs: Inputs) -> None:
        _STARTS[node.kind](self, number, node, inputs)

    def _task(self, number: int, node: RunNode, inputs: Inputs) -> None:
        assert node.sig is not None
        sig = node.sig
        if node.binds:
            sig = bind_inputs(sig, node.binds, _values(inputs), self._source_of(number))
        place = NodeRef(self._run, self._attempt, number)
        if self._attempt == 0 or not self._goes_on(place, node):
            self._send_together(sig, (), place, partial(self._fail, number, begun=True))

    def _goes_on(self, place: NodeRef, node: RunNode) -> bool:
        """Go on with the run of a workflow that the node's task has returned in an earlier attempt, if there is one."""
        if not goes_on_inside(node):
            return False
        earlier = child_before(self._runs, place)
        if earlier is None:
            return False
        self._go_on(place, earlier, outcome_of_node(self._app, place, earlier))
        return True

    def _go_on(self, place: NodeRef, earlier: str, outcome: dict[str, Any]) -> None:
        """Go on with the run that an earlier attempt had in a node's place."""
        self._record(place.node, states.STARTED, None, child=earlier)
        path = self._runs.metadata(place.run)[0].get(INSIDE, {}).get(str(place.node))
        self._resume_child(earlier, outcome, path)

    def _choose(self, number: int, node: RunNode, inputs: Inputs) -> None:
        if node.details.get("timed_out"):
            arm = int(self._has_timed_out(inputs[0]))
        else:
            _, slot, pick = node.binds[0]
            value = extract(value_of(inputs[slot]), pick, slot, self._source_of(number))
            arm = next((at for at, choice in enumerate(node.choices) if _same(choice, value)), len(node.choices))
        self._ended.append((number, 0, states.SUCCESS, arm))

    def _merge(self, number: int, node: RunNode, inputs: Inputs) -> None:
        self._succeed(number, next(one.value for one in inputs if one.state == states.SUCCESS))
        if node.cancels:
            self._cancel_nodes(node.cancels)

    def _map_values(self, number: int, node: RunNode, inputs: Inputs) -> None:
        self._map(number, node, _values(inputs))

    def _sleep_values(self, number: int, node: RunNode, inputs: Inputs) -> None:
        self._sleep(number, node, _values(inputs))

    def _wait_for(self, number: int, node: RunNode, inputs: Inputs) -> None:
        self._wait(number, node)

    def _loop_values(self, number: int, node: RunNode, inputs: Inputs) -> None:
        self._loop(number, node, _values(inputs))

    def _pages_values(self, number: int, node: RunNode, inputs: Inputs) -> None:
        self._pages(number, node, _values(inputs))

    def _input(self, number: int, node: RunNode, inputs: Inputs) -> None:
        self._succeed(number, input_value(node))

    def _otherwise(self, number: int, node: RunNode, inputs: Inputs) -> None:
        """The value of a node with a limit, or its substitute where it was not in time."""
        of_node, *instead = inputs
        if instead and instead[0].state != SKIPPED:
            of_node = instead[0]
        elif "value" in node.details and self._has_timed_out(of_node):
            of_node = KnownInput(0, states.SUCCESS, node.details["value"])
        if of_node.state == states.SUCCESS:
            self._succeed(number, of_node.value)
        elif of_node.state == SKIPPED:
            self._skip(number)
        else:
            self._fail(number, upstream_failure(node.name, of_node.value))

    def _has_timed_out(self, one: KnownInput) -> bool:
        """Whether a node of this run has failed because of its own limit, and not because of a limit inside of it."""
        if one.state not in FAILED or type(one.value).__name__ != NodeTimeout.__name__:
            return False
        _, *place = one.value.args
        return bool(place) and str(place[0]).rsplit(".", 2)[0] == self._run

    def _flow(self, number: int, node: RunNode, inputs: Inputs) -> None:
        """Start the run of a workflow in a node's place, or go on with that of an earlier attempt."""
        place = NodeRef(self._run, self._attempt, number)
        earlier = child_before(self._runs, place)
        outcome = outcome_of_node(self._app, place, earlier or child_run_of(task_id_of(place)))
        if earlier is not None:
            self._go_on(place, earlier, outcome)
            return
        nodes = with_inputs([RunNode.from_list(one) for one in node.details["nodes"]], node, _values(inputs))
        new = ChildRun(task_id_of(place), str(node.details["name"]), nodes, outcome, place)
        child = save_child(self._app, self._runs, self._outbox, new)
        type(self)(self._app, self._runs, self._outbox, child, 0, self._parent).begin(None)

    def _skip(self, number: int) -> None:
        self._record(number, states.SUCCESS, None, canvas=SKIPPED)
        self._ended.append((number, 0, SKIPPED, None))
        self._end_line(number, SKIPPED, None)

    def _revoke(self, number: int) -> None:
        """End a node of an attempt that was cancelled before it began."""
        self._end_without_task(number, states.REVOKED, TaskRevokedError("cancelled"), begun=False)

    def _fail(self, number: int, exc: BaseException, begun: bool = False) -> None:
        """``begun``: the node has started, so that other events, such as its limit, may end it too."""
        self._end_without_task(number, states.FAILURE, exc, begun)

    def _end_without_task(self, number: int, state: str, exc: BaseException, begun: bool) -> None:
        self._record(number, state, exc)
        self._end_line(number, state, exc)
        if begun:
            self._end(number, state, exc)
        else:
            self._ended.append((number, 0, *by_policy(self._node(number), state, exc)))


_STARTS: Mapping[str, Callable[[NodeAttempt, int, RunNode, Inputs], None]] = {
    "task": NodeAttempt._task,
    "map": NodeAttempt._map_values,
    "choose": NodeAttempt._choose,
    "merge": NodeAttempt._merge,
    "otherwise": NodeAttempt._otherwise,
    "input": NodeAttempt._input,
    "sleep": NodeAttempt._sleep_values,
    "wait": NodeAttempt._wait_for,
    "loop": NodeAttempt._loop_values,
    "flow": NodeAttempt._flow,
    "pages": NodeAttempt._pages_values,
}


def _values(inputs: Inputs) -> list[Any]:
    return [value_of(one) for one in inputs]


def _same(choice: Any, value: Any) -> bool:
    """JSON's equality: True is not 1."""
    return type(choice) is type(value) and bool(choice == value)
