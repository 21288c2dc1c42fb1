"""Which node's failure kept other nodes of a run from running."""

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
        if number in causes and (node.hidden or state in _FAILED or state == UPSTREAM_FAILED):
            for out in node.outs:
                causes.setdefault(out.node, causes[number])
    return named
