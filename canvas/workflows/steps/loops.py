"""Nodes of a run that run a task repeatedly, each time with the value of the time before.

A round is two tasks: the step, and the condition that looks at its value. They are items of their node, with ids of
their own, so that each round has its records. When the condition has answered, the value is read from the record of the
step, which was stored in the same step that sent the condition.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

from canvas.errors import LoopExhausted, RunLost
from canvas.model import states
from canvas.model.ids import Lineage
from canvas.model.record import Record
from canvas.model.workflow_run import (
    RESUME_RUN,
    NodeRef,
    RunNode,
    bind_inputs,
    child_run_of,
    extract,
    items_id,
    outline_id,
    task_id_of,
)
from canvas.producer.send_errors import problem_of
from canvas.workflows.run_records import outlines
from canvas.workflows.steps.child_runs import goes_on_inside_parts, outcome_of_node
from canvas.workflows.steps.earlier_attempts import digest_of, usable_before
from canvas.workflows.steps.node_rules import FAILED
from canvas.workflows.steps.waits import WaitingAttempt

_VALUE, _ANSWER = 0, 1
"""The tasks of a round."""


class _Begun(NamedTuple):
    """Where another attempt at a loop begins."""

    at: int
    """The round."""
    value: Any
    """The value that its step takes, or with ``stepped`` the value of its step, about which the condition is asked."""
    stepped: bool = False
    run: str | None = None
    """The run of a workflow that has begun in this round."""


class LoopAttempt(WaitingAttempt):
    """An attempt that runs loops."""

    def _resume_child(self, child: str, outcome: dict[str, Any], path: str | None = None) -> None:
        """Go on with the run that an earlier attempt had in a place; with ``path`` from this node of it."""
        # A task that runs twice begins one attempt: the one after this.
        again = {} if path is None else {"from_node": path, "attempt": self._runs.metadata(child)[1]}
        sig = self._app.signature(RESUME_RUN, (child, outcome), again, ignore_result=True)
        self._outbox.send(sig, Lineage(self._run, self._parent))

    def _go_on_with_part(self, part: NodeRef, earlier: str) -> None:
        """Go on with the run that an earlier attempt had in the place of an item or of a round."""
        record = Record(task_id_of(part), states.STARTED, None, None, [], parent_id=self._parent)
        record.extra = {"child": earlier}
        self._outbox.record(record, in_run=True)
        self._resume_child(earlier, outcome_of_node(self._app, part, earlier))

    def _loop(self, number: int, node: RunNode, values: Sequence[Any]) -> None:
        """Start a loop: its first round, or the one after the last that an earlier attempt has ended."""
        assert node.sig is not None
        value = node.details.get("start")
        if node.details["bound"]:
            over = node.binds[0]
            value = extract(values[over.slot], over.pick, over.slot, self._source_of(number))
        rest = node.binds[1:] if node.details["bound"] else node.binds
        place = NodeRef(self._run, self._attempt, number)
        sig = bind_inputs(node.sig, rest, values, self._source_of(number))
        if rest:
            self._outbox.record(Record(items_id(place), states.STARTED, sig, None, []), in_run=True)
        digest = digest_of([sig, node.details["until"], value], self._app.backend.serializer)
        self._outbox.record(Record(outline_id(place), states.STARTED, [0, digest], None, []), in_run=True)
        begun = self._begun_before(place, digest, value)
        if begun.stepped:
            self._record(number, states.STARTED, None, rounds=begun.at + 1)
            self._ask_again(number, begun)
        elif begun.run is not None:
            self._record(number, states.STARTED, None, rounds=begun.at + 1)
            self._go_on_with_part(self._step_in(number, begun.at), begun.run)
        else:
            self._round(number, node, begun.at, begun.value, sig)

    def _begun_before(self, place: NodeRef, digest: str, start: Any) -> "_Begun":
        """How far the earlier attempts at the same loop have come."""
        node, usable = self._node(place.node), usable_before(self._runs, place)
        found = zip(usable, outlines(self._app, self._runs, usable), strict=True)
        same = [earlier for earlier, outline in found if outline == (0, digest)]
        begun = next(filter(None, (self._rounds_in(earlier) for earlier in same)), _Begun(0, start))
        if same and not begun.stepped and goes_on_inside_parts(node) and begun.at < int(node.details["at_most"]):
            runs = [child_run_of(task_id_of(self._step_in(place.node, begun.at, one.attempt))) for one in same]
            records = self._runs.persist(lambda: self._app.backend.get_records(runs))
            known = [run for run, record in zip(runs, records, strict=True) if record is not None]
            begun = begun._replace(run=next(iter(known), None))
        return begun

    def _rounds_in(self, earlier: NodeRef) -> "_Begun | None":
        """How far an earlier attempt has come; ``None`` if none of its own rounds has ended its step."""
        alone = self._node(earlier.node).details["until"] is None
        (own,) = self._read([earlier])
        rounds = 0 if own is None else int(own.extra.get("rounds", 0))
        for at in range(rounds - 1, max(rounds - 3, -1), -1):
            step, answer = self._read([earlier._replace(item=2 * at), earlier._replace(item=2 * at + _ANSWER)])
            if step is not None and step.status == states.SUCCESS:
                ended = alone or (answer is not None and answer.status == states.SUCCESS)
                return _Begun(at + ended, step.result, not ended)
        return None

    def _step_in(self, number: int, at: int, attempt: int | None = None) -> NodeRef:
        """The place of the step of a round."""
        size = 2 * int(self._node(number).details["at_most"])
        return NodeRef(self._run, self._attempt if attempt is None else attempt, number, 2 * at + _VALUE, size)

    def _ask_again(self, number: int, begun: "_Begun") -> None:
        """Ask the condition about the value of a round whose step an earlier attempt has ended."""
        step = self._step_in(number, begun.at)
        record = Record(task_id_of(step), states.SUCCESS, begun.value, None, [], parent_id=self._parent)
        record.extra = {"canvas": ""}
        self._outbox.record(record, in_run=True)
        self._round_item(step, states.SUCCESS, begun.value)

    def _round(self, number: int, node: RunNode, at: int, value: Any, sig: dict[str, Any] | None = None) -> None:
        """Start round ``at`` with this value, or end the loop if there is none left."""
        place = NodeRef(self._run, self._attempt, number)
        at_most = int(node.details["at_most"])
        if at >= at_most:
            if node.details["until"] is None:
                self._loop_over(number, at, states.SUCCESS, value)
            else:
                error = LoopExhausted(f"{node.name}: its condition was not met in {at_most} rounds")
                self._loop_over(number, at, states.FAILURE, error)
            return
        if sig is None:
            sig = self._step_of(place, node)
        self._record(number, states.STARTED, None, rounds=at + 1)
        step = place._replace(item=2 * at, size=2 * at_most)
        problem = problem_of(partial(self._send, sig, (value,), step))
        if problem is not None:
            self._loop_over(number, at, states.FAILURE, problem)

    def _step_of(self, place: NodeRef, node: RunNode) -> dict[str, Any]:
        """The step's signature with the results of other nodes that it takes. Raises RunLost."""
        if len(node.binds) <= int(node.details["bound"]):
            assert node.sig is not None
            return node.sig
        kept = self._runs.persist(lambda: self._app.backend.get_records([items_id(place)]))[0]
        if kept is None:
            raise RunLost(f"the step of {node.name} in run {self._run} is gone from the result backend")
        sig: dict[str, Any] = kept.result
        return sig

    def _round_item(self, place: NodeRef, state: str, value: Any) -> None:
        """The step or the condition of a round has ended."""
        assert place.item is not None
        (at, half), until = divmod(place.item, 2), self._node(place.node).details["until"]
        if state in FAILED:
            self._loop_over(place.node, at + 1, state, value)
        elif until is None:
            self._round_over(place.node, at, value, False)
        elif half == _VALUE:
            problem = problem_of(partial(self._send, until, (value,), place._replace(item=2 * at + _ANSWER)))
            if problem is not None:
                self._loop_over(place.node, at + 1, states.FAILURE, problem)
        else:
            self._round_over(place.node, at, self._value_of_round(place, at), bool(value))

    def _value_of_round(self, place: NodeRef, at: int) -> Any:
        """The value of a round's step, from its record. Raises RunLost."""
        (step,) = self._read([place._replace(item=2 * at + _VALUE)])
        if step is None:
            name = self._node(place.node).name
            raise RunLost(f"the value of round {at + 1} of {name} in run {self._run} is gone from the result backend")
        return step.result

    def _round_over(self, number: int, at: int, value: Any, met: bool) -> None:
        """Go on after a round, or end the loop."""
        if met:
            self._loop_over(number, at + 1, states.SUCCESS, value)
        else:
            self._round(number, self._node(number), at + 1, value)

    def _loop_over(self, number: int, rounds: int, state: str, value: Any) -> None:
        self._over(number, state, value, rounds=rounds)
