"""Which node's failure kept other nodes of a run from running, and which has failed the run."""

from collections.abc import Mapping, Sequence

from canvas.model import states
from canvas.model.workflow_run import RunNode
from canvas.workflows.status import UPSTREAM_FAILED

_FAILED = frozenset({states.FAILURE, states.REVOKED})


def causes(nodes: Sequence[RunNode], found: Mapping[str, str]) -> dict[str, str]:
    """For each node that did not run because another one failed, the name of that node. ``found``: states by name."""
    causes: dict[int, str] = {}
    named = {}
    for number, node in enumerate(nodes):
        state = found.get(node.name)
        if state in _FAILED:
            causes[number] = node.name
        elif state == UPSTREAM_FAILED and number in causes:
            named[node.name] = causes[number]
        if (
            number in causes
            and not node.continue_on_failure
            and (node.hidden or state in _FAILED or state == UPSTREAM_FAILED)
        ):
            for out in node.outs:
                causes.setdefault(out.node, causes[number])
    return named


def to_blame(nodes: Sequence[RunNode], found: Sequence[str | None]) -> set[int]:
    """The nodes that have failed the run: those whose own failure leads to its end. ``found``: the states of all nodes.
    A failure that a policy, a rule or a substitute has dealt with leads nowhere."""
    before: dict[int, list[int]] = {}
    for number, node in enumerate(nodes):
        for out in node.outs:
            before.setdefault(out.node, []).append(number)
    blamed: set[int] = set()
    left, seen = [len(nodes) - 1], set()
    while left:
        for number in before.get(left.pop(), ()):
            if number in seen:
                continue
            seen.add(number)
            if nodes[number].hidden or found[number] == UPSTREAM_FAILED:
                left.append(number)
            elif found[number] in _FAILED and not nodes[number].continue_on_failure:
                blamed.add(number)
    return blamed
