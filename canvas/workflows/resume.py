"""Another attempt at a run that has failed, or that has lost its next step: its nodes and its first messages."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from canvas.errors import CompositionError
from canvas.graph.run_nodes import resumed, with_values
from canvas.model import states
from canvas.model.record import Record
from canvas.model.run_index import in_celery_form
from canvas.model.settlement import ReadyChord, SettleResult
from canvas.model.workflow_run import SKIPPED, STAMP, NodeRef, RunNode, stamp_of
from canvas.producer.outbox import Outbox
from canvas.workflows.celery_run import embed_run
from canvas.workflows.run_records import outlive
from canvas.workflows.services import WorkflowServices
from canvas.workflows.status import RunStatus, node_state
from canvas.workflows.steps.child_runs import INSIDE, goes_on_inside
from canvas.workflows.steps.compensation import undone_inside
from canvas.workflows.steps.earlier_attempts import FRESH, NOT_UNDONE
from canvas.workflows.steps.engine import RunEngine

_KEEPS_PARTS = frozenset({"task", "map", "loop", "flow", "pages"})
"""Kinds of nodes that use the parts which an earlier attempt has done."""
_IN_PARTS = frozenset({"map", "loop", "pages"})
"""Kinds of nodes that run a task for each of their items, rounds or pages."""


class Again(NamedTuple):
    """The nodes of a run that are to run again after its end."""

    numbers: frozenset[int]
    """Numbers of nodes, including all nodes that depend on them."""
    inside: Mapping[int, str] = MappingProxyType({})
    """Of those, the ones whose runs inside go on, each with the path of the node inside that is to run again."""


NOTHING = Again(frozenset())
Ended = dict[int, tuple[str, Any]]
"""By their numbers, the state and the value of nodes that have ended, as the nodes after them get them."""


class RunAttempt(NamedTuple):
    """One attempt of a run."""

    run: str
    about: dict[str, Any]
    """The metadata of the run, as stored by this attempt."""
    number: int

    def engine(self, app: WorkflowServices, outbox: Outbox) -> RunEngine:
        return RunEngine(app, app.run_store, outbox, self.run, self.number, None)

    def first_step(self, app: WorkflowServices, nodes: list[RunNode], ended: Ended) -> Outbox:
        """The settlement that starts the attempt: it records that the run has started and sends the first messages."""
        outbox, timeout = Outbox(app), self.about.get("timeout")
        if in_celery_form(self.about):
            embed_run(app, outbox, self.run, self.number, str(self.about["name"]), nodes, ended)
            self.engine(app, outbox).schedule_cancellation(timeout)
        else:
            outbox.unstored.append(app.run_store.know_unstored(self.run, self.number, nodes, self.about))
            self.engine(app, outbox).begin(timeout)
        return outbox


def resume(
    app: WorkflowServices,
    before: RunAttempt,
    nodes: list[RunNode],
    records: Sequence[Record | None],
    failed: bool,
    anew: Again = NOTHING,
    cancelled: bool = False,
) -> tuple[RunAttempt, SettleResult] | None:
    """The next attempt, and the reply to its first settlement; ``None`` when another client has just resumed the run,
    or the attempt before has just failed.

    ``nodes`` are those of the first attempt, ``records`` theirs. ``failed``: the attempt before has ended without
    success, so that its compensations run. ``anew``: the nodes that run again though they have ended. ``cancelled``:
    the attempt is cancelled from its start on.
    """
    ended = ended_nodes(nodes, records)
    fresh = _with_dependents(nodes, _compensated(app, before, nodes, records, ended) if failed else set())
    undone = _with_dependents(nodes, fresh | anew.numbers)
    inside = {number: path for number, path in anew.inside.items() if number not in fresh}
    ended = {number: how for number, how in ended.items() if number not in undone}
    ended |= {number: (states.SUCCESS, None) for number in _unneeded(nodes, ended)}
    again = RunAttempt(before.run, _about_again(before, nodes, undone, inside, failed), before.number + 1)
    again.about["attempts"] = [
        known if number in ended else again.number for number, known in enumerate(before.about["attempts"])
    ]
    lasting = without_expiry(nodes, before.about.get("expires"))
    left = resumed(lasting, ended)
    first: Outbox | None = None
    start: ReadyChord | None = None
    if in_celery_form(again.about):
        first = again.first_step(app, with_values(lasting, ended), ended)
    else:
        start = again.engine(app, Outbox(app)).start_marker(again.about.get("timeout"))
    unless = "" if failed else "undone"
    if not app.run_store.begin_attempt(before.run, before.number, again.about, left, start, cancelled, unless):
        return None
    if cancelled:
        app.control.revoke_by_stamped_headers({STAMP: stamp_of(again.run, again.number)})
    outlive(app, app.run_store, before.run)
    app.control.keep_revoked_stamps({STAMP: stamp_of(before.run, before.number)})
    settler = app.driver.settler
    if first is not None:
        return again, settler.settle([first.settlement()]).verdicts[0]
    assert start is not None
    # The first nodes read the metadata of their attempt, which has to be stored before.
    return again, settler.dispatch_chord(again.first_step(app, left, ended).chord_dispatch(start.group_id))


def _compensated(
    app: WorkflowServices,
    before: RunAttempt,
    nodes: list[RunNode],
    records: Sequence[Record | None],
    ended: Collection[int],
) -> set[int]:
    """The nodes that were undone, in whole or in part: the items, rounds or pages that have succeeded are undone even
    if their node has failed."""
    undone = {
        number
        for number, node in enumerate(nodes)
        if (number in ended or node.kind in _IN_PARTS) and node.has_compensation
    }
    places = [NodeRef(before.run, before.about["attempts"][number], number) for number in range(len(nodes))]
    return undone | undone_inside(app, app.run_store, places, records)


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
        node = nodes[number]
        state = None if record is None else node_state(node, record)
        if node.always:
            continue
        if record is not None and state in (states.SUCCESS, SKIPPED):
            ended[number] = (str(state), record.result)
        elif state == states.FAILURE and node.continue_on_failure:
            ended[number] = (states.SUCCESS, node.default)
    return ended


def _about_again(
    before: RunAttempt, nodes: list[RunNode], undone: set[int], inside: Mapping[int, str], failed: bool
) -> dict[str, Any]:
    """The metadata of the next attempt. ``inside``: by number, the nodes whose inner runs continue at one of their own
    nodes. ``failed``: as for ``resume``."""
    about = {key: value for key, value in before.about.items() if key not in ("cancelled", INSIDE)}
    anew = undone - inside.keys()
    fresh = {str(number): before.number + 1 for number in anew if nodes[number].kind in _KEEPS_PARTS}
    if fresh:
        about[FRESH] = {**about.get(FRESH, {}), **fresh}
    if not failed:
        about[NOT_UNDONE] = [*before.about.get(NOT_UNDONE, ()), before.number]
    if inside:
        about[INSIDE] = {str(number): path for number, path in inside.items()}
    return about


def _with_dependents(nodes: list[RunNode], numbers: Collection[int]) -> set[int]:
    """These nodes, and all nodes that depend on them."""
    found = set(numbers)
    for number, node in enumerate(nodes):
        if number in found:
            found.update(out.node for out in node.outs)
    return found


class RunTree(Protocol):
    """A run, with the runs in the places of its nodes."""

    id: str
    about: dict[str, Any]
    nodes: list[RunNode]

    def child(self, name: str) -> "RunTree | None": ...

    def status(self) -> RunStatus: ...


def run_again_from(run: RunTree, path: str) -> Again:
    """The nodes that run again from a node on: one of this run, or with its path, such as ``outer/inner``, one of a run
    inside.

    Raises CompositionError for a path that leads to no node, for a run inside that has not ended, and for a run in the
    place of another run's node."""
    if "parent" in run.about:
        raise CompositionError(
            f"run {run.id} stands in the place of task {run.about['parent']} of another run: run the node again by "
            f"that run, with again(from_node='…/{path}')"
        )
    return node_of_path(run, path)


def node_of_path(run: RunTree, path: str) -> Again:
    """Like ``run_again_from``, also of a run inside of another one. Raises CompositionError."""
    names = {node.name: number for number, node in enumerate(run.nodes) if not node.hidden}
    if path in names:
        return Again(_with_choice(run.nodes, path))
    for at, sign in enumerate(str(path)):
        head, inner = str(path)[:at], str(path)[at + 1 :]
        if sign == "/" and head in names:
            number = names[head]
            child = run.child(head) if goes_on_inside(run.nodes[number]) else None
            if child is None:
                raise CompositionError(
                    f"run {run.id}: {head} has no inner run whose nodes could run again: run {head!r} again as a whole"
                )
            if not child.status().over:
                raise CompositionError(
                    f"run {run.id}: {head}: the run in its place has not ended: wait for its tasks, or run {head!r} "
                    "again as a whole"
                )
            node_of_path(child, inner)
            return Again(frozenset({number}), {number: inner})
    near = get_close_matches(str(path), names, 1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise CompositionError(f"run {run.id} has no node {path!r}: {hint}it has {', '.join(names)}"[:1_000])


def _with_choice(nodes: Sequence[RunNode], name: str) -> frozenset[int]:
    """The node of this name; of a branch also the node that chooses."""
    return frozenset(
        number
        for number, node in enumerate(nodes)
        if (node.name == name and not node.hidden) or (node.name == f"{name}?" and node.kind == "choose")
    )


def _unneeded(nodes: list[RunNode], ended: Collection[int]) -> set[int]:
    """The nodes that have not ended and need not: all nodes after them have. Such are branches that were decided, and
    nodes that have lost a race."""
    known = set(ended)
    for number in range(len(nodes) - 2, 0, -1):
        if number not in known and nodes[number].outs and all(out.node in known for out in nodes[number].outs):
            known.add(number)
    return known - set(ended)
