"""One attempt of a run: its nodes, and the records, messages and chord parts that one settlement adds for it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from canvas.errors import UpstreamFailed
from canvas.model import states
from canvas.model.compiled import Plan, TaskCall
from canvas.model.ids import Lineage
from canvas.model.record import Record
from canvas.model.settlement import Part
from canvas.model.workflow_run import RUN_HEADER, RUN_LIMIT, STAMP, NameOf, NodeRef, RunNode, stamp_of, task_id_of
from canvas.primitives.registry import maybe_signature
from canvas.primitives.signature import Signature
from canvas.producer.outbox import Outbox
from canvas.task.replace import collected
from canvas.text import safe_repr
from canvas.wire import typed_json
from canvas.wire.signing import end_of, part_of
from canvas.workflows.services import WorkflowServices
from canvas.workflows.steps.node_rules import FAILED
from canvas.workflows.store import RunStore

AT_ONCE = 500
"""The most nodes or items that one settlement starts."""
FIRST = 128
"""The most nodes that the first settlement of a run starts. Workers run these while the client makes the other
messages."""


class Attempt(ABC):
    """One attempt of a run, with the outbox of the settlement that continues it."""

    def __init__(
        self, app: WorkflowServices, runs: RunStore, outbox: Outbox, run: str, attempt: int, parent: str | None
    ) -> None:
        """``parent``: the id of the task that ends with this settlement."""
        self._app = app
        self._runs = runs
        self._outbox = outbox
        self._run = run
        self._attempt = attempt
        self._parent = parent
        self._stamp = stamp_of(run, attempt)
        self._left = AT_ONCE
        self._nodes: dict[int, RunNode] = {}
        self._ended: list[tuple[int, int, str, Any]] = []
        self._calls: list[tuple[TaskCall, Callable[[BaseException], None]]] = []
        """Calls that are sent together; the function is called for one that cannot be sent."""
        self._kept_now: dict[str, Any] = {}
        """Values that this settlement stores, by the ids of their records."""

    def _node(self, number: int) -> RunNode:
        try:
            return self._nodes[number]
        except KeyError:
            found = self._nodes[number] = self._runs.node(self._run, self._attempt, number)
            return found

    def _source_of(self, number: int) -> NameOf:
        """A function that gives the name of a node's parent by the slot. It reads the nodes of the first attempt,
        because later attempts leave edges out."""

        def name_of(slot: int) -> str:
            about, _ = self._runs.metadata(self._run)
            for node in self._runs.nodes(self._run, 0, about["nodes"]):
                if any(out.node == number and out.slot == slot for out in node.outs):
                    return node.name
            return "result"

        return name_of

    def _id(self, number: int) -> str:
        return task_id_of(NodeRef(self._run, self._attempt, number))

    def _send(self, sig: dict[str, Any], args: tuple[Any, ...], place: NodeRef) -> None:
        if sig["subtask_type"] is None:
            self._outbox.send_plan(Plan([self._call_of(sig, args, place)]), Lineage(self._run, self._parent))
            return
        options = {"task_id": task_id_of(place), RUN_HEADER: place.as_list(), "ignore_result": False}
        whole: Signature[Any] = collected(self._app, maybe_signature(sig, self._app).clone())
        node = self._node(place.node)
        if not node.always:
            whole.stamp(None, False, **self._stamps(node))
        self._outbox.send(whole, Lineage(self._run, self._parent), args, options)

    def _send_together(
        self, sig: dict[str, Any], args: tuple[Any, ...], place: NodeRef, failed: Callable[[BaseException], None]
    ) -> None:
        """As ``_send``, with the other calls of this settlement; ``failed`` is called if it cannot be sent then."""
        if sig["subtask_type"] is None:
            self._calls.append((self._call_of(sig, args, place), failed))
        else:
            self._send_calls()
            self._send(sig, args, place)

    def _send_calls(self) -> None:
        """Send the calls that were collected so far."""
        calls, self._calls = self._calls, []
        problems = self._outbox.send_each([call for call, _ in calls], Lineage(self._run, self._parent))
        for at, problem in problems:
            calls[at][1](problem)

    def _call_of(self, sig: dict[str, Any], args: tuple[Any, ...], place: NodeRef) -> TaskCall:
        """The call of a single task, made without a Signature object. Raises TypeError for arguments that don't fit."""
        given = tuple(sig["args"]) if sig["immutable"] else (*args, *sig["args"])
        own = sig["options"]
        merged = {**own, "task_id": task_id_of(place), RUN_HEADER: place.as_list(), "ignore_result": False}
        node = self._node(place.node)
        if not node.always:
            stamps = self._stamps(node)
            merged["stamped_headers"] = [*own["stamped_headers"], *stamps] if own.get("stamped_headers") else [*stamps]
            merged.update(stamps)
        task = self._app.tasks.get(sig["task"])
        if task is not None:
            task.check_typing(given, sig["kwargs"])
        return TaskCall(sig["task"], given, sig["kwargs"], merged)

    def _stamps(self, node: RunNode) -> dict[str, Any]:
        """The stamps of a node's messages."""
        stamps: dict[str, Any] = {STAMP: self._stamp}
        if RUN_LIMIT in node.details:
            stamps[RUN_LIMIT] = node.details[RUN_LIMIT]
        return stamps

    def _record_run(self, record: Record) -> None:
        record.extra = {"attempt": self._attempt}
        self._outbox.record_run(record)

    def _record(self, number: int, state: str, result: Any, **extra: Any) -> None:
        node = self._node(number)
        if node.hidden:
            return
        record = Record(self._id(number), state, result, None, [], parent_id=self._parent)
        if state in states.READY_STATES:
            record.date_done = self._app.now().isoformat()
        if node.kind == "task" and state == states.SUCCESS:
            extra = {"canvas": "", **extra}  # a success without any field of canvas is a Celery worker's
        record.extra = extra
        self._outbox.record(record, in_run=True)

    def _part(self, name: str, slot: int, state: str, value: Any, step: list[Any], size: int) -> None:
        form = StepForm(self._app, (self._run, self._attempt), f"{self._run}.{self._attempt}.{name}", step)
        self._outbox.parts.append(form.part(slot, (state, value), size, self._parent))

    def _sealed_step(self, group: str, step: list[Any]) -> bytes:
        return StepForm(self._app, (self._run, self._attempt), group, step).sealed(self._parent)

    @abstractmethod
    def _end(self, number: int, state: str, value: Any) -> None:
        """Go on after the end of a node."""

    def _over(self, number: int, state: str, value: Any, **extra: Any) -> None:
        """Record the end of a node that runs no task of its own. If several events may end the node, the step after its
        wait records the first of them instead."""
        if not self._node(number).ends_once:
            self._record(number, state, value, **extra)
        self._end(number, state, value)

    def _succeed(self, number: int, value: Any) -> None:
        """Record the value of a node that runs no task."""
        self._over(number, states.SUCCESS, value)

    def _read(self, places: Sequence[NodeRef]) -> list[Record | None]:
        """The records of these places."""
        found: list[Record | None] = self._runs.persist(
            lambda: self._app.backend.get_records([task_id_of(place) for place in places])
        )
        return found


def run_limit(stamps: Any) -> tuple[str, int] | None:
    """The run that the stamps of a message name, and how many of its tasks may run at once; ``None`` if they do not
    have both: a message may carry any value as its stamps."""
    if not isinstance(stamps, dict):
        return None
    stamp, limit = stamps.get(STAMP), stamps.get(RUN_LIMIT)
    if not isinstance(stamp, str) or type(limit) is not int or limit < 1:
        return None
    return stamp.partition(":")[0], limit


class StepForm:
    """The parts of one chord, after which the ``attempt`` of a run takes a ``step``. The text that they have
    in common is written once."""

    def __init__(self, app: WorkflowServices, attempt: tuple[str, int], group: str, step: list[Any]) -> None:
        """``group``: the chord that stands for the step."""
        self._app = app
        self._group = group
        self._signs = app.signer.signs
        # The timeout of a run, which may be any number, stands in its first step.
        dumps = typed_json.dumps if step[0] == "start" else typed_json.dumps_known
        self._start = dumps({"run": attempt, "step": step})[:-1]

    def part(self, slot: int, end: tuple[str, Any], size: int, parent: str | None) -> Part:
        """The input ``slot``, with the state and the value of its ``end``, as one of ``size`` parts. ``parent``: the id
        of the task that returns the part. Raises EncodeError."""
        backend, group, name = self._app.backend, self._group, str(slot)
        payload = backend.encode_part(name, *end)
        if self._signs:
            payload = self._app.signer.seal(part_of(group), payload)
        return Part(group, name, slot, payload, self.sealed(parent), backend.run_lives, size)

    def sealed(self, parent: str | None) -> bytes:
        """The step as each part carries it."""
        around = b"}" if parent is None else b',"parent_id":%b}' % typed_json.dumps_known(parent)
        written = self._start + around
        return self._app.signer.seal(end_of(self._group), written) if self._signs else written


def by_policy(node: RunNode, state: str, value: Any) -> tuple[str, Any]:
    """State and value of an ended node (or of a map's item) as the nodes after it get them. A node that never ran
    because a node before it failed has no policy of its own to apply."""
    if state in FAILED and node.continue_on_failure and not isinstance(value, UpstreamFailed):
        return states.SUCCESS, node.default
    return state, value


def upstream_failure(name: str, cause: Any) -> UpstreamFailed:
    """The error of a node that cannot run because a node before it has failed."""
    return UpstreamFailed(name, cause.cause if isinstance(cause, UpstreamFailed) else safe_repr(cause))
