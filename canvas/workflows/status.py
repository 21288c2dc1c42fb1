"""The status of a run, computed from its record and those of its nodes. Pure."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from canvas.errors import UpstreamFailed
from canvas.model import states
from canvas.model.record import Record
from canvas.model.run_index import CANCELLED, IF_CANCELLED, in_celery_form
from canvas.model.workflow_run import ANY, AWAITING_SIGNAL, AWAITING_TASK, SKIPPED, SLEEPING, RunNode
from canvas.workflows.labels import json_value, label_text, labels_of

UPSTREAM_FAILED = "UPSTREAM_FAILED"
WAITING = "WAITING"
"""Not sent yet: a node before it has not ended."""
_WAITS = {"sleep": SLEEPING, "wait": AWAITING_SIGNAL}
"""The states of nodes of these kinds while they wait."""
ENDED = frozenset({states.SUCCESS, states.FAILURE, states.REVOKED, states.IGNORED, UPSTREAM_FAILED, SKIPPED})
"""The states of a node that has ended."""


@dataclass(slots=True)
class NodeStatus:
    """One node: a task's state, or WAITING, SKIPPED, UPSTREAM_FAILED. Made by ``run.status()``."""

    name: str
    """The node's name."""
    state: str
    """Its state now."""
    task_id: str
    """The id of its task; of a map, a loop or a chain, the id of its result."""
    started: datetime | None = None
    """When it began, in UTC; ``None`` if that is not known."""
    ended: datetime | None = None
    """When it ended, in UTC; ``None`` before."""
    error: str | None = None
    """The class and the text of the exception of a node that has failed."""
    until: datetime | None = None
    """When a sleep ends, or a wait for a signal runs out."""
    signal: str | None = None
    """The signal that it waits for."""
    rounds: int | None = None
    """How many rounds of a loop have begun."""
    child: str | None = None
    """The run of a workflow in its place."""
    task: str | None = None
    """The name of the task that it waits for: no worker that took its message has it."""

    @property
    def seconds(self) -> float | None:
        """How long it ran; ``None`` when that is not known."""
        if self.started is None or self.ended is None:
            return None
        return max(0.0, (self.ended - self.started).total_seconds())

    @classmethod
    def of(cls, node: RunNode, task_id: str, record: Record) -> "NodeStatus":
        """A node that has a record."""
        state = node_state(node, record)
        failed = state in (states.FAILURE, states.REVOKED, UPSTREAM_FAILED)
        over = state in ENDED
        return cls(
            node.name,
            state,
            task_id,
            _moment(record.extra.get("date_start")),
            _moment(record.date_done) if over else None,
            _described(record.result) if failed else None,
            _moment(record.extra.get("until")),
            node.details["signal"] if state == AWAITING_SIGNAL else None,
            record.extra.get("rounds"),
            record.extra.get("child"),
            record.extra.get("task") if state == AWAITING_TASK else None,
        )


@dataclass(slots=True)
class RunStatus:
    """A run at one moment. Made by ``run.status()``."""

    id: str
    """The run's id."""
    name: str
    """The workflow's name."""
    state: str
    """STARTED, SUCCESS, FAILURE; CANCELLING and CANCELLED after ``cancel``; PENDING when nothing has begun."""
    created: datetime | None
    """When it was started, in UTC; ``None`` if that is not known."""
    ended: datetime | None
    """When it ended, in UTC; ``None`` before."""
    nodes: list[NodeStatus] = field(default_factory=list)
    """Its nodes, in the order in which they were added."""
    critical_path: list[str] = field(default_factory=list)
    """The critical path of the run so far: before each node the parent that ended last."""
    labels: dict[str, Any] = field(default_factory=dict)
    """The labels that the run was started with."""
    by_celery: dict[str, str] = field(default_factory=dict)
    """While it has not ended: the nodes whose messages Celery workers have taken, each with '', or with the task that
    they have discarded, or with how many tasks were checked: up to 100 of a map, the last two of a loop."""

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.state in (states.SUCCESS, states.FAILURE, CANCELLED)

    @property
    def counts(self) -> dict[str, int]:
        """How many nodes are in each state."""
        return dict(Counter(node.state for node in self.nodes))

    @property
    def done(self) -> int:
        """How many nodes have ended."""
        return sum(node.state in ENDED for node in self.nodes)

    def __str__(self) -> str:
        """A line for the run, and one for each node: state, name, seconds, error."""
        width = max((len(node.name) for node in self.nodes), default=0)
        lines = [f"{self.name} {self.id} {self.state}: {self.done} of {len(self.nodes)} nodes have ended"]
        if self.labels:
            lines.append("  " + " ".join(f"{label}={label_text(value)}" for label, value in self.labels.items()))
        for node in self.nodes:
            seconds = f"{node.seconds:.3f} s" if node.seconds is not None else ""
            why = node.error or ("" if node.task is None else f"no worker has {node.task}")
            lines.append(f"  {node.state:<15} {node.name:<{width}} {seconds:>12} {why}".rstrip())
        if self.by_celery:
            lines.append(f"  {self.stop()}")
        return "\n".join(lines)

    def stop(self, most: int | None = None) -> str:
        """The reason why it stops at the nodes of ``by_celery``, and the remedy. It names ``most`` nodes at most."""
        named = ", ".join([f"{name} ({how})" if how else name for name, how in self.by_celery.items()][:most])
        remedy = "let canvas workers alone consume the queue, then call run.resume(force=True)"
        return f"Celery workers took messages of {named}, and they do not start the nodes after it: {remedy}"

    def as_dict(self) -> dict[str, Any]:
        """The status as a JSON object."""
        return {
            "id": self.id,
            "name": self.name,
            "state": self.state,
            "created": self.created.isoformat() if self.created else None,
            "ended": self.ended.isoformat() if self.ended else None,
            "counts": self.counts,
            "critical_path": self.critical_path,
            "labels": {label: json_value(value) for label, value in self.labels.items()},
            **({"by_celery": self.by_celery} if self.by_celery else {}),
            "nodes": [
                {
                    "name": node.name,
                    "state": node.state,
                    "task_id": node.task_id,
                    "seconds": node.seconds,
                    "error": node.error,
                    **_waiting_for(node),
                }
                for node in self.nodes
            ],
        }


def _waiting_for(node: NodeStatus) -> dict[str, Any]:
    """The time, signal or task that a node waits for, its rounds, and the run inside of it, as far as it has them."""
    until = node.until.isoformat() if node.until is not None else None
    found = {"until": until, "signal": node.signal, "rounds": node.rounds, "child": node.child, "task": node.task}
    return {key: value for key, value in found.items() if value is not None}


def node_state(node: RunNode, record: Record) -> str:
    """A node's state by its record. A node that waits has a record with STARTED: its kind gives the state."""
    if record.status == states.SUCCESS and record.extra.get("canvas") == SKIPPED:
        return SKIPPED
    if record.status == states.FAILURE and isinstance(record.result, UpstreamFailed):
        return UPSTREAM_FAILED
    if record.status != states.STARTED:
        return record.status
    return AWAITING_TASK if record.extra.get("canvas") == AWAITING_TASK else _WAITS.get(node.kind, states.STARTED)


def run_status(
    run: str,
    about: dict[str, Any],
    nodes: Sequence[RunNode],
    records: Sequence[Record | None],
    own: Record | None,
    ids: Sequence[str],
) -> RunStatus:
    """The status of a run by the records of its nodes, and its own."""
    found: list[NodeStatus] = []
    waiting = _waiting(nodes, records)
    for number, (node, record) in enumerate(zip(nodes, records, strict=True)):
        if record is None:
            found.append(NodeStatus(node.name, WAITING if number in waiting else states.PENDING, ids[number]))
        else:
            found.append(NodeStatus.of(node, ids[number], record))
    state = run_state(about, _celery_form_state(nodes, found) if in_celery_form(about) else own)
    ended = _moment(own.date_done) if own is not None and own.status in states.READY_STATES else None
    path = _critical_path(nodes, found)
    shown = [status for node, status in zip(nodes, found, strict=True) if not node.hidden]
    return RunStatus(
        run, str(about["name"]), state, _moment(about.get("created")), ended, shown, path, labels_of(about)
    )


def run_state(about: Mapping[str, Any], own: Record | str | None) -> str:
    """The state of a run by its own record, or by the state that its nodes give it."""
    state = own if isinstance(own, str) else states.PENDING if own is None else own.status
    return IF_CANCELLED.get(state, state) if about.get("cancelled") else state


def _celery_form_state(nodes: Sequence[RunNode], found: Sequence[NodeStatus]) -> str:
    """The state of a run on Celery workers, which record tasks only.

    The nodes after a failure never run, and Celery fails the body of a chord that waited for it.
    """
    failed = (states.FAILURE, states.REVOKED, UPSTREAM_FAILED)
    for number, node in enumerate(nodes):
        if found[number].state not in failed or node.hidden:
            continue
        for out in node.outs:
            if not nodes[out.node].hidden and found[out.node].state not in (states.SUCCESS, states.STARTED):
                found[out.node].state = UPSTREAM_FAILED
    shown = [status.state for node, status in zip(nodes, found, strict=True) if not node.hidden]
    if all(state in ENDED for state in shown):
        return states.FAILURE if any(state in failed for state in shown) else states.SUCCESS
    return states.STARTED if any(state in ENDED or state == states.STARTED for state in shown) else states.PENDING


def _waiting(nodes: Sequence[RunNode], records: Sequence[Record | None]) -> set[int]:
    """The nodes that depend on a node that has not ended."""
    waiting: set[int] = set()
    for number, (node, record) in enumerate(zip(nodes, records, strict=True)):
        over = (record is not None and node_state(node, record) in ENDED) or (node.hidden and number not in waiting)
        if not over:
            waiting.update(out.node for out in node.outs)
    return waiting


def ancestors(nodes: Sequence[RunNode], number: int) -> set[int]:
    """The numbers of all nodes that a node depends on, directly or not. ``nodes`` are in topological order."""
    found = {number}
    for earlier in range(number - 1, -1, -1):
        if any(out.node in found for out in nodes[earlier].outs):
            found.add(earlier)
    return found - {number}


def _described(exc: Any) -> str:
    """An exception as the last line of a traceback has it."""
    if not isinstance(exc, BaseException):
        return repr(exc)
    text = str(exc)
    return f"{type(exc).__name__}: {text}" if text else type(exc).__name__


def _critical_path(nodes: Sequence[RunNode], found: Sequence[NodeStatus]) -> list[str]:
    """The path to the end of the run, on which each node is preceded by the one that it waited for last."""
    ends = [-math.inf] * len(nodes)
    before: list[int | None] = [None] * len(nodes)
    for number, node in enumerate(nodes):
        last = before[number]
        if not node.hidden:
            ends[number] = _end_of(found[number])
        elif last is not None:
            ends[number] = ends[last]
        for out in node.outs:
            known = before[out.node]
            sooner = nodes[out.node].when in ANY
            if known is None or (ends[number] < ends[known] if sooner else ends[number] > ends[known]):
                before[out.node] = number
    at: int | None = before[-1]
    path: list[str] = []
    while at is not None:
        if not nodes[at].hidden:
            path.append(nodes[at].name)
        at = before[at]
    return path[::-1]


def _end_of(status: NodeStatus) -> float:
    """When a node ended, for comparison: the nodes after a skipped one did not wait for it, and those after one
    that has not ended still do."""
    if status.state == SKIPPED:
        return -math.inf
    if status.ended is not None:
        return status.ended.timestamp()
    return 0.0 if status.state in ENDED else math.inf


def _moment(value: Any) -> datetime | None:
    if isinstance(value, datetime):
        return value
    try:
        return datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
