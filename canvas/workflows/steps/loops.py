"""Nodes of a run that run a task repeatedly, each time with the value of the time before.

A round is two tasks: the step, and the condition that looks at its value. They are items of their node, with ids of
their own, so that each round has its records. When the condition has answered, the value is read from the record of the
step, which was stored in the same step that sent the condition.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

from canvas.errors import LoopExhausted, RunLost
from canvas.model import states
from canvas.model.record import Record
from canvas.model.workflow_run import NodeRef, RunNode, bind_inputs, extract, items_id, outline_id
from canvas.producer.send_errors import problem_of
from canvas.workflows.run_records import outlines
from canvas.workflows.steps.earlier_attempts import digest_of, usable_before
from canvas.workflows.steps.node_rules import FAILED
from canvas.workflows.steps.waits import WaitingAttempt

_VALUE, _ANSWER = 0, 1
"""The tasks of a round."""


class LoopAttempt(WaitingAttempt):
    """An attempt that runs loops."""

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
        first, value = self._rounds_before(place, digest, value)
        self._round(number, node, first, value, sig)

    def _rounds_before(self, place: NodeRef, digest: str, start: Any) -> tuple[int, Any]:
        """How many rounds the latest earlier attempt at the same loop has ended, and the value of its last."""
        alone = self._node(place.node).details["until"] is None
        for earlier in usable_before(self._runs, place):
            if outlines(self._app, self._runs, [earlier])[0] != (0, digest):
                continue
            (own,) = self._read([earlier])
            begun = 0 if own is None else int(own.extra.get("rounds", 0))
            for at in range(begun - 1, max(begun - 3, -1), -1):
                step, last = self._read(
                    [earlier._replace(item=2 * at), earlier._replace(item=2 * at + (_VALUE if alone else _ANSWER))]
                )
                if step is not None and last is not None and last.status == states.SUCCESS == step.status:
                    return at + 1, step.result
        return 0, start

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
