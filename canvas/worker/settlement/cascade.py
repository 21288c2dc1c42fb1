"""Settle the tasks that will never run: the rest of a failed chain, the body of a failed chord.

Each signature that has an id ends in a state, and each that is a part of a chord returns it, so that nothing
waits without end. Sources: semantics.md E2, E7–E10.
"""

from typing import Any

from canvas.model.record import Record
from canvas.model.workflow_run import RUN_HEADER, NodeRef
from canvas.primitives.chain import normal_steps
from canvas.primitives.registry import maybe_signature
from canvas.primitives.signature import Signature
from canvas.producer.outbox import ChordMembership, NodeEnd, Outbox, PartOrigin


class TerminalState:
    """How the ones that never run end."""

    __slots__ = ("exc", "origin", "state", "traceback")

    def __init__(self, state: str, exc: BaseException, traceback: str | None, origin: PartOrigin) -> None:
        self.state = state
        self.exc = exc
        self.traceback = traceback
        self.origin = origin


def fail_remaining(outbox: Outbox, chain: list[Any] | None, ending: TerminalState) -> None:
    """End every remaining step of a chain (wire form: the next step last)."""
    for step in reversed(chain or ()):
        cascade_failure(outbox, maybe_signature(step), ending)


def cascade_failure(outbox: Outbox, sig: Signature[Any], ending: TerminalState) -> None:
    """End one signature: a task itself, a chain's last step, a group's members, a chord's body."""
    kind = sig.subtask_type
    if kind == "group":
        for member in sig.members():
            cascade_failure(outbox, member, ending)
    elif kind == "chord":
        if sig.kwargs.get("body") is not None:
            cascade_failure(outbox, _in_run(sig.kwargs["body"], sig), ending)
    elif kind == "chain":
        steps = normal_steps(sig.members(), unroll=False)
        for step in steps[:-1]:
            cascade_failure(outbox, step, ending)
        if steps:
            cascade_failure(outbox, _in_run(_with_place(steps[-1], sig), sig), ending)
    else:
        _end_unrun_task(outbox, sig, ending)


def _with_place(last: Signature[Any], chain: Signature[Any]) -> Signature[Any]:
    """The last step stands where its chain stands."""
    if last.subtask_type is not None or last.options.get("chord") or not chain.options.get("chord"):
        return last
    place = {key: chain.options.get(key) for key in ("chord", "group_id", "group_index")}
    return last.clone(**{key: value for key, value in place.items() if value is not None})


def _in_run(end: Signature[Any], whole: Signature[Any]) -> Signature[Any]:
    """The end of a composite is the end of its node of a workflow."""
    node = whole.options.get(RUN_HEADER)
    return end if node is None or end.options.get(RUN_HEADER) is not None else end.clone(**{RUN_HEADER: node})


def _end_unrun_task(outbox: Outbox, sig: Signature[Any], ending: TerminalState) -> None:
    task_id = sig.options.get("task_id")
    if not task_id:
        return
    record = Record(
        task_id, ending.state, ending.exc, ending.traceback, children=[], group_id=sig.options.get("group_id")
    )
    place = NodeRef.of(sig.options.get(RUN_HEADER))
    outbox.record(record, in_run=place is not None)
    if place is not None:
        outbox.ends.append(NodeEnd(place, ending.state, ending.exc))
    membership = ChordMembership.of_signature(sig)
    if membership is not None:
        outbox.part(membership, ending.state, ending.exc, ending.origin)
