"""Whether a node that has its inputs runs, is skipped or fails: by the states of its inputs and its rule. Pure."""

from collections.abc import Iterable, Sequence
from typing import Any, Literal

from canvas.model import states
from canvas.model.workflow_run import ABSENT, SKIPPED, KnownInput, RunNode

FAILED = frozenset({states.FAILURE, states.REVOKED})
"""States of an input that has failed."""
_SUCCEEDED = frozenset({states.SUCCESS})
_TOLERANT = frozenset({"all_done", "any_done"})
Verdict = Literal["run", "skip"]


def inputs_of(node: RunNode, came: Iterable[KnownInput]) -> list[KnownInput]:
    """All inputs of a node in order. An input from a parent that has not ended is ABSENT, with the value ``None``."""
    inputs = [*node.given, *came]
    if len(inputs) > 1:
        inputs.sort(key=lambda one: one.slot)
    if len(inputs) == len(node.slots):
        return inputs
    known = {one.slot: one for one in inputs}
    return [known.get(slot) or KnownInput(slot, ABSENT, None) for slot in range(len(node.slots))]


def verdict(node: RunNode, inputs: Sequence[KnownInput]) -> Verdict | KnownInput:
    """Whether the node runs or is skipped; or the failed input because of which it fails."""
    if inputs and _SUCCEEDED.issuperset([one.state for one in inputs]):
        return "run"  # whatever the rule
    conditions = [one for one in inputs if node.slots[one.slot] == "condition"]
    failed = _first_failed(conditions)
    if failed is not None:
        return failed
    if any(one.state == SKIPPED for one in conditions):
        return "skip"
    if node.when == "all_success":
        return _first_failed(inputs) or ("skip" if _is_skipped(node, inputs) else "run")
    if node.when == "none_failed":
        return _first_failed(inputs) or "run"
    if node.when in _TOLERANT or any(one.state == states.SUCCESS for one in inputs):
        return "run"
    return _first_failed(inputs) or "skip"


def value_of(one: KnownInput) -> Any:
    """The value of an input for the node's signature: ``None`` for one that has failed, was skipped or is absent."""
    return one.value if one.state == states.SUCCESS else None


def _first_failed(inputs: Iterable[KnownInput]) -> KnownInput | None:
    return next((one for one in inputs if one.state in FAILED), None)


def _is_skipped(node: RunNode, inputs: Sequence[KnownInput]) -> bool:
    """Whether a node is skipped: one of its needed inputs is skipped; for the result of a branch, all of them."""
    needed = [one.state == SKIPPED for one in inputs if node.slots[one.slot] != "order"]
    return bool(needed) and (all(needed) if node.kind == "merge" else any(needed))
