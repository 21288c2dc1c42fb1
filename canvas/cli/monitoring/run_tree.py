"""A run as a tree in a terminal: running nodes stay visible on a small screen, and a failure is explained once."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text
from rich.tree import Tree

from canvas.context import command
from canvas.model import states
from canvas.model.run_index import CANCELLED
from canvas.model.workflow_run import RunNode
from canvas.workflows.labels import label_terms
from canvas.workflows.progress.watch import MapCounts, RunProgress
from canvas.workflows.status import UPSTREAM_FAILED, WAITING, NodeStatus, RunStatus

STYLES = {
    "SUCCESS": "green", "FAILURE": "red", "UPSTREAM_FAILED": "yellow", "STARTED": "cyan", "RETRY": "cyan",
    "REVOKED": "magenta", "SKIPPED": "bright_black", "PENDING": "blue", "WAITING": "bright_black", "SLEEPING": "blue",
    "AWAITING_SIGNAL": "cyan", "AWAITING_TASK": "yellow",
}  # fmt: skip
"""The style of a node's state."""
_RUNS = frozenset({states.STARTED, states.RETRY, "AWAITING_TASK", "AWAITING_SIGNAL"})
_QUIET = frozenset({states.SUCCESS, "SKIPPED", WAITING, states.PENDING})
"""States whose nodes are folded first where the screen is too small."""
_PROMPT = 2
"""Lines of the screen below the totals."""


def run_tree(nodes: Sequence[RunNode], progress: RunProgress, screen: tuple[int, int] | None = None) -> RenderableType:
    """The tree of a run. ``screen``: its columns and lines; nodes that have ended or wait are folded to fit them."""
    status = progress.status
    shown = {node.name: node for node in status.nodes}
    head, totals = _head(status), _totals(status)
    folded = _folded(nodes, shown, None if screen is None else _room(screen, head, totals))
    top = Tree(head)
    branches: dict[int, Tree] = {}
    parents = _parents(nodes)
    failed = {node.name for node in status.nodes if node.error is not None}
    counts: dict[int, dict[str, int]] = {}
    for number, node in enumerate(nodes):
        if node.kind in ("start", "end"):
            continue
        before = [one for one in parents.get(number, ()) if one in branches]
        under = branches[max(before)] if before else top
        if number in folded:
            branches[number] = under
            known = shown.get(node.name)
            tally = counts.setdefault(id(under), {})
            state = known.state if known is not None else WAITING
            tally[state] = tally.get(state, 0) + 1
            continue
        others = [nodes[one].name for one in before if one != max(before)]
        line = _line(node.name, shown.get(node.name), others, progress)
        line.no_wrap, line.overflow = screen is not None and node.name not in failed, "ellipsis"
        branches[number] = under.add(line)
    for branch in (top, *branches.values()):
        if tally := counts.pop(id(branch), {}):
            branch.add(Text(", ".join(f"{many} {state}" for state, many in sorted(tally.items())), "bright_black"))
    return Group(top, totals)


def _room(screen: tuple[int, int], *around: Text) -> int:
    """The lines of a screen that are left for nodes."""
    columns, lines = screen
    taken = sum(-(-len(line) // columns) for text in around for line in text.plain.split("\n"))
    return max(3, lines - taken - _PROMPT)


def _parents(nodes: Sequence[RunNode]) -> dict[int, list[int]]:
    parents: dict[int, list[int]] = {}
    for number, node in enumerate(nodes):
        for out in node.outs:
            parents.setdefault(out.node, []).append(number)
    return parents


def _folded(nodes: Sequence[RunNode], shown: Mapping[str, NodeStatus], room: int | None) -> frozenset[int]:
    """The nodes that have no line of their own. Nodes that run or have failed have one as long as there is room."""
    listed = [number for number, node in enumerate(nodes) if node.kind not in ("start", "end")]
    if room is None or len(listed) <= room:
        return frozenset()

    def importance(number: int) -> int:
        state = shown[nodes[number].name].state if nodes[number].name in shown else WAITING
        return 0 if state in _RUNS else 1 if state in (states.FAILURE, states.REVOKED) else 3 if state in _QUIET else 2

    ordered = sorted(listed, key=importance)
    # Lines of totals below the nodes that stay need room, too.
    return frozenset(ordered[max(1, room // 2) :])


def _head(status: RunStatus) -> Text:
    labels = "".join(f" {label}={value}" for label, value in label_terms(status.labels))
    counts = f" {ran(status)}/{len(status.nodes)}"
    head = Text.assemble((status.name, "bold"), f" {status.id} ", styled(status.state), counts, f" {_elapsed(status)}")
    return head.append(labels, "bright_black")


def ran(status: RunStatus) -> int:
    """How many nodes have ended, without those that never ran."""
    return status.done - sum(node.state == UPSTREAM_FAILED for node in status.nodes)


def seconds_of(status: RunStatus) -> float | None:
    """How long a run has lasted until its end, or until now."""
    if status.created is None:
        return None
    end = status.ended.timestamp() if status.ended is not None else time.time()
    return max(0.0, end - status.created.timestamp())


def _elapsed(status: RunStatus) -> str:
    seconds = seconds_of(status)
    return "" if seconds is None else f"{seconds:.1f} s"


def _totals(status: RunStatus) -> Text:
    """The number of nodes in each state, the critical path, and the command that goes on after a failure."""
    text = Text()
    for state, many in sorted(status.counts.items()):
        text.append(f"{many} ").append_text(styled(state)).append("  ")
    if status.over and len(status.critical_path) > 1:
        path = status.critical_path
        shown = [*path[:3], f"… {len(path) - 5} more …", *path[-2:]] if len(path) > 6 else path
        text.append(f"\ncritical path: {' → '.join(shown)}", "bright_black")
    if status.over and status.state not in (states.SUCCESS, CANCELLED):
        text.append(f"\nresume it: {command(f'workflow resume {status.id}')}", "bright_black")
    return text


def _line(name: str, node: NodeStatus | None, others: list[str], progress: RunProgress) -> Text:
    text = Text(name)
    if others:
        more = f" and {len(others) - 3} more" if len(others) > 3 else ""
        text.append(f" ← {', '.join(others[:3])}{more}", "bright_black")
    if node is None:
        return text
    cancelled = progress.status.state in (CANCELLED, "CANCELLING")
    if cancelled and node.state in (UPSTREAM_FAILED, states.REVOKED):
        return text.append(" cancelled", "bright_black")
    text.append(" ").append_text(styled(node.state))
    if node.name in progress.maps:
        text.append(f" {items(progress.maps[node.name])}")
    seconds = _seconds(node)
    if seconds is not None:
        text.append(f" {seconds:.3f} s" if node.ended is not None else f" {seconds:.0f} s")
    for word in _waiting_for(node):
        text.append(f" {word}", "bright_black")
    if node.name in progress.causes:
        text.append(f" ({progress.causes[node.name]} failed)", "bright_black")
    elif node.error:
        text.append(f" {node.error:.200}", "red")
    return text


def items(counts: MapCounts) -> str:
    """The items of a map, such as ``480/500, 3 failed``."""
    failed = f", {counts.failed} failed" if counts.failed else ""
    return f"{counts.done}/{counts.size}{failed}"


def _seconds(node: NodeStatus) -> float | None:
    if node.seconds is not None or node.started is None or node.state != states.STARTED:
        return node.seconds
    return max(0.0, time.time() - node.started.timestamp())


def _waiting_for(node: Any) -> list[str]:
    """Words on the task, the signal and the time that a node waits for, its rounds, and the run inside of it."""
    return [
        *([f"no worker has {node.task}"] if node.task is not None else []),
        *([f"for {node.signal!r}"] if node.signal is not None else []),
        *([f"until {node.until:%Y-%m-%d %H:%M:%S %Z}"] if node.until is not None else []),
        *([f"round {node.rounds}"] if node.rounds is not None else []),
        *([f"run {node.child}"] if node.child is not None else []),
    ]


def styled(state: str) -> Text:
    """A state in its colour."""
    return Text(state, STYLES.get(state, ""))
