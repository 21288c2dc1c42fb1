"""Another attempt at a run that has failed, or that has lost its next step: its nodes and its first messages."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from canvas.graph.run_nodes import resumed, with_values
from canvas.model import states
from canvas.model.record import Record
from canvas.model.settlement import SettleResult
from canvas.model.workflow_run import SKIPPED, STAMP, RunNode, stamp_of
from canvas.producer.outbox import Outbox
from canvas.workflows.celery_run import embed_run
from canvas.workflows.lifetimes import record_ids
from canvas.workflows.services import WorkflowServices
from canvas.workflows.status import node_state
from canvas.workflows.steps.earlier_attempts import FRESH
from canvas.workflows.steps.engine import RunEngine

Ended = dict[int, tuple[str, Any]]
"""By their numbers, the state and the value of nodes that have ended, as the nodes after them get them."""


class RunAttempt(NamedTuple):
    """One attempt of a run."""

    run: str
    about: dict[str, Any]
    """The metadata of the run, as stored by this attempt."""
    number: int

    @property
    def in_celery_form(self) -> bool:
        return bool(self.about["target"] == "celery")

    def engine(self, app: WorkflowServices, outbox: Outbox) -> RunEngine:
        return RunEngine(app, app.run_store, outbox, self.run, self.number, None)

    def first_step(self, app: WorkflowServices, nodes: list[RunNode], ended: Ended) -> Outbox:
        """The settlement that starts the attempt: it records that the run has started and sends the first messages."""
        outbox, timeout = Outbox(app), self.about.get("timeout")
        if self.in_celery_form:
            embed_run(app, outbox, self.run, self.number, str(self.about["name"]), nodes, ended)
            self.engine(app, outbox).schedule_cancellation(timeout)
        else:
            app.run_store.cache_pending(self.run, self.number, nodes, self.about)
            self.engine(app, outbox).begin(timeout)
        return outbox


def resume(
    app: WorkflowServices,
    before: RunAttempt,
    nodes: list[RunNode],
    records: Sequence[Record | None],
    over: bool,
) -> tuple[RunAttempt, SettleResult] | None:
    """The next attempt, and the reply to its first settlement; ``None`` when another client has just resumed the run.

    ``nodes`` are those of the first attempt, ``records`` theirs; ``over``: the run has ended.
    """
    ended = ended_nodes(nodes, records)
    undone = _undone(nodes, ended) if over else set()
    ended = {number: how for number, how in ended.items() if number not in undone}
    ended |= {number: (states.SUCCESS, None) for number in _unneeded(nodes, ended)}
    again = RunAttempt(before.run, _about_again(before, nodes, undone), before.number + 1)
    again.about["attempts"] = [
        known if number in ended else again.number for number, known in enumerate(before.about["attempts"])
    ]
    lasting = without_expiry(nodes, before.about.get("expires"))
    left = resumed(lasting, ended)
    outbox = again.first_step(app, with_values(lasting, ended) if again.in_celery_form else left, ended)
    timeout = again.about.get("timeout")
    start = None if again.in_celery_form else again.engine(app, outbox).start_marker(timeout)
    if not app.run_store.begin_attempt(before.run, before.number, again.about, left, start):
        return None
    app.run_store.outlive(before.run, record_ids(app, app.run_store, before.run, before.number, nodes))
    app.control.keep_revoked_stamps({STAMP: stamp_of(before.run, before.number)})
    settler = app.driver.settler
    if start is None:
        return again, settler.settle([outbox.settlement()]).verdicts[0]
    return again, settler.dispatch_chord(outbox.chord_dispatch(start.group_id))


def without_expiry(nodes: list[RunNode], expired: str | None) -> list[RunNode]:
    """Nodes without the time at which their first run expired, which may have passed."""
    if expired is None:
        return nodes
    return [
        replace(node, sig={**node.sig, "options": {k: v for k, v in node.sig["options"].items() if k != "expires"}})
        if node.sig is not None and node.sig["options"].get("expires") == expired
        else node
        for node in nodes
    ]


def ended_nodes(nodes: list[RunNode], records: Sequence[Record | None]) -> Ended:
    """The nodes that have ended, by their records."""
    ended: Ended = {}
    for number, record in enumerate(records):
        node, state = nodes[number], None if record is None else node_state(record)
        if node.always:
            continue
        if record is not None and state in (states.SUCCESS, SKIPPED):
            ended[number] = (str(state), record.result)
        elif state == states.FAILURE and node.goes_on:
            ended[number] = (states.SUCCESS, node.default)
    return ended


def _about_again(before: RunAttempt, nodes: list[RunNode], undone: set[int]) -> dict[str, Any]:
    about = {key: value for key, value in before.about.items() if key != "cancelled"}
    fresh = {str(number): before.number + 1 for number in undone if nodes[number].kind == "map"}
    return {**about, FRESH: {**about.get(FRESH, {}), **fresh}} if fresh else about


def _undone(nodes: list[RunNode], ended: Collection[int]) -> set[int]:
    """The ended nodes with a compensation, and the nodes that depend on them."""
    undone: set[int] = set()
    for number, node in enumerate(nodes):
        if number in undone or (number in ended and node.compensate is not None):
            undone.add(number)
            undone.update(out.node for out in node.outs)
    return undone


def _unneeded(nodes: list[RunNode], ended: Collection[int]) -> set[int]:
    """The nodes that have not ended and need not: all nodes after them have. Such are branches that were decided, and
    nodes that have lost a race."""
    known = set(ended)
    for number in range(len(nodes) - 2, 0, -1):
        if number not in known and nodes[number].outs and all(out.node in known for out in nodes[number].outs):
            known.add(number)
    return known - set(ended)
