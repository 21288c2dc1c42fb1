"""Waits of nodes: for a time, for a signal, for the first of several inputs, for an end in time.

A wait is kept in a mailbox. The first event ends it, once, and makes a chord of one part ready, whose dispatch
continues the node. A timer is a delayed message.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from canvas.errors import CompositionError, NodeTimeout, TaskRevokedError
from canvas.model import states
from canvas.model.ids import Lineage
from canvas.model.settlement import MailboxStep, ReadyChord
from canvas.model.workflow_run import (
    CANCEL_NODES,
    IN_ROUNDS,
    RUN_HEADER,
    SKIPPED,
    WAKE,
    KnownInput,
    NodeRef,
    OutgoingEdge,
    RunNode,
    extract,
    stamp_options,
    starts,
)
from canvas.wire.moments import aware
from canvas.wire.signing import mail_of
from canvas.workflows.services import WorkflowServices
from canvas.workflows.steps.attempt import Attempt, by_policy

Purpose = Literal["value", "end", "first"]
"""The object of a wait: a value of the node's own, the end of its task within its limit, its first fitting input."""
_TIMERS: tuple[Purpose, ...] = ("value", "end")
"""Purposes with timers; a timer's place in the run has the index of its purpose as its item."""
_OWN_END, _TIMED_OUT, _CANCELLED, STOPPED, NOT_BEGUN, ENDED_EARLY = range(6)
"""Where the end of a wait comes from."""
_HOW_FAR = ("rounds", "progress", "child")
"""The fields of a node's record that say how far it has come, and which run is in its place."""
TIMER_LASTS = 7 * 86_400
"""Seconds of the longest delay of a timer's message. A longer timer sends its message again, until its wait is over."""


def signal_mailbox(name: str) -> str:
    """The mailbox of a signal."""
    return f":{name}"


def wait_id(attempt: int, number: int, purpose: Purpose) -> str:
    """The id of a node's wait in its mailbox."""
    return f"{attempt}.{number}.{purpose}"


def mailbox_of(node: RunNode) -> str:
    """The mailbox in which a node of kind ``sleep`` or ``wait`` waits; all but signals take no posts."""
    return signal_mailbox(str(node.details["signal"])) if node.kind == "wait" else ""


def woken_step(number: int, purpose: Purpose, mailbox: str) -> list[Any]:
    """The step of a run after a node's wait has ended."""
    return ["woken", number, purpose, mailbox]


class WaitingAttempt(Attempt, ABC):
    """An attempt whose nodes wait."""

    def _take(self, number: int, purpose: Purpose, mailbox: str = "") -> None:
        """Let a node wait."""
        lives, wait = self._app.backend.run_lives, wait_id(self._attempt, number, purpose)
        group, callback = self._woken_by(number, purpose, mailbox)
        self._outbox.mail.append(MailboxStep(self._run, mailbox, "take", wait, None, group, callback, lives, lives))

    def _woken_by(self, number: int, purpose: Purpose, mailbox: str) -> tuple[str, bytes]:
        """The chord that is ready when a node's wait has ended: its group id and its callback."""
        group = f"{self._run}.{self._attempt}.{number}.{purpose}"
        return group, self._sealed_step(group, woken_step(number, purpose, mailbox))

    def woken_marker(self, number: int, purpose: Purpose, mailbox: str, value: bytes) -> ReadyChord:
        """The ready chord of a node's wait that has ended with this ``value``."""
        return ReadyChord(*self._woken_by(number, purpose, mailbox), [value], None)

    def _resolve(self, number: int, purpose: Purpose, source: int, state: str, value: Any, mailbox: str = "") -> None:
        """End a node's wait, unless it has ended."""
        step = resolution(self._app, NodeRef(self._run, self._attempt, number), purpose, source, state, value, mailbox)
        self._outbox.mail.append(step)

    def _woken(self, number: int, purpose: Purpose, source: int, state: str, value: Any) -> None:
        """Go on with a node whose wait has ended."""
        if purpose == "first":
            self._start(number, [KnownInput(source, state, value)])
        elif purpose == "value":
            self._end_wait(number, state, value)
        else:
            self._end_once(number, source, state, value)

    def _end_once(self, number: int, source: int, state: str, value: Any) -> None:
        """End a node for which several events compete, such as a signal and a timeout."""
        node = self._node(number)
        # The failure of a task is recorded with its traceback, when the task ends.
        if state == SKIPPED:
            self._record(number, states.SUCCESS, None, canvas=SKIPPED)
        elif source != _OWN_END or state != states.FAILURE or node.kind not in ("task", "flow"):
            self._record(number, state, value, **self._how_far(number, node, source))
        if source not in (_OWN_END, NOT_BEGUN):
            self._cancel_nodes([number])
        if source != _OWN_END:
            self._end_line(number, state, value, NOT_BEGUN if source == NOT_BEGUN else ENDED_EARLY)
        self._ended.append((number, 0, *by_policy(node, state, value)))

    def _how_far(self, number: int, node: RunNode, source: int) -> dict[str, Any]:
        """The fields of the node's record that are still true: how far it has come, and the run in its place."""
        kept = node.kind in IN_ROUNDS or source in (_TIMED_OUT, STOPPED)
        record = self._read([NodeRef(self._run, self._attempt, number)])[0] if kept else None
        return {} if record is None else {key: record.extra[key] for key in _HOW_FAR if key in record.extra}

    @abstractmethod
    def _start(self, number: int, came: Sequence[KnownInput]) -> None: ...

    @abstractmethod
    def _end_line(self, number: int, state: str, value: Any, source: int = NOT_BEGUN) -> None: ...

    def _expect_end(self, number: int, node: RunNode) -> None:
        """Prepare the end of a node that starts: if several events may end it, the first one does."""
        if node.ends_once:
            self._take(number, "end")
        if node.limit is not None:
            self._limit(number, node.limit)

    def _end_wait(self, number: int, state: str, value: Any) -> None:
        self._over(number, state, value)

    def _arrive(self, out: OutgoingEdge, state: str, value: Any) -> None:
        """An input of a node that starts with its first fitting one."""
        target = self._node(out.node)
        if starts(target.when, state):
            self._take(out.node, "first")
            self._resolve(out.node, "first", out.slot, state, value)
        else:
            self._part(f"{out.node}.none", out.slot, state, value, ["node", out.node], target.open_slots)

    def _sleep(self, number: int, node: RunNode, values: Sequence[Any]) -> None:
        now = self._app.now().timestamp()
        due = self._due(node, values, now)
        self._record(number, states.STARTED, None, until=_moment(due))
        self._take(number, "value", mailbox_of(node))
        self._timer(number, "value", due)

    def _due(self, node: RunNode, values: Sequence[Any], now: float) -> float:
        """When a sleep ends. Raises CompositionError for a value that is not a time."""
        if not node.binds:
            until = node.details.get("until")
            return now + float(node.details["seconds"]) if until is None else moment_of(until, node.name)
        _, slot, pick = node.binds[0]
        found = extract(values[slot], pick, slot)
        if node.details.get("by") == "until":
            return moment_of(found, node.name)
        if isinstance(found, bool) or not isinstance(found, int | float) or not 0 <= found <= _LONGEST:
            raise CompositionError(f"{node.name}: expected seconds to sleep, 0 or more; got {found!r:.100}")
        return now + found

    def _wait(self, number: int, node: RunNode) -> None:
        seconds = node.details.get("timeout")
        now = self._app.now().timestamp()
        until = {} if seconds is None else {"until": _moment(now + seconds)}
        self._record(number, states.STARTED, None, **until)
        self._take(number, "value", mailbox_of(node))
        if seconds is not None:
            self._timer(number, "value", now + seconds)

    def _limit(self, number: int, seconds: float) -> None:
        """Let a node that starts fail after ``seconds``."""
        self._timer(number, "end", self._app.now().timestamp() + seconds)

    def _end(self, number: int, state: str, value: Any) -> None:
        node = self._node(number)
        if node.ends_once:
            self._resolve(number, "end", _OWN_END, state, value)
        else:
            self._ended.append((number, 0, *by_policy(node, state, value)))

    def _timer(self, number: int, purpose: Purpose, due: float) -> None:
        """Set a node's timer."""
        wakes = min(due, self._app.now().timestamp() + TIMER_LASTS)
        place = NodeRef(self._run, self._attempt, number, _TIMERS.index(purpose), 0)
        stamp = stamp_options(self._run, self._attempt)
        sig = self._app.signature(
            WAKE, (due,), eta=datetime.fromtimestamp(wakes, UTC), ignore_result=True, **stamp,
            **{"task_id": f"{self._id(number)}.{purpose}.timer", RUN_HEADER: place.as_list()},
        )  # fmt: skip
        self._outbox.send(sig, Lineage(self._run, self._parent), due=wakes)

    def on_timer(self, place: NodeRef, state: str, due: Any) -> None:
        """A node's timer has run out, at the time for which it was set or earlier."""
        node, purpose = self._node(place.node), _TIMERS[place.item or 0]
        mailbox = mailbox_of(node) if purpose == "value" else ""
        if state != states.SUCCESS:
            gone = TaskRevokedError("revoked")
            self._resolve(place.node, purpose, _CANCELLED, states.REVOKED, gone, mailbox)
        elif due > self._app.now().timestamp() + 1:
            if self._has_not_ended(place.node):
                self._timer(place.node, purpose, due)
        else:
            end = _at_timeout(node, purpose, self._id(place.node))
            self._resolve(place.node, purpose, _TIMED_OUT, *end, mailbox)

    def _has_not_ended(self, number: int) -> bool:
        """Whether the node and its attempt are in progress."""
        (record,) = self._read([NodeRef(self._run, self._attempt, number)])
        if record is not None and record.status in states.READY_STATES:
            return False
        about, attempt = self._runs.metadata(self._run)
        return attempt == self._attempt and not about["cancelled"]

    def _cancel_nodes(self, numbers: Sequence[int]) -> None:
        sig = self._app.signature(CANCEL_NODES, (self._run, self._attempt, list(numbers)), ignore_result=True)
        self._outbox.send(sig, Lineage(self._run, self._parent))


def resolution(
    app: WorkflowServices, place: NodeRef, purpose: Purpose, source: int, state: str, value: Any, mailbox: str = ""
) -> MailboxStep:
    """The change of a mailbox that ends a node's wait."""
    payload = app.signer.seal(mail_of(place.run, mailbox), app.backend.encode_part(str(source), state, value))
    return MailboxStep(place.run, mailbox, "resolve", wait_id(place.attempt, place.node, purpose), payload)


def cancelled_wait(app: WorkflowServices, place: NodeRef, node: RunNode) -> MailboxStep:
    """The change that ends the wait of a node that is cancelled."""
    error = TaskRevokedError("revoked")
    return resolution(app, place, "value", _CANCELLED, states.REVOKED, error, mailbox_of(node))


def _at_timeout(node: RunNode, purpose: Purpose, task_id: str) -> tuple[str, Any]:
    if purpose == "end":
        error = NodeTimeout(f"{node.name} had not ended {node.limit:g} s after its start", task_id)
        return states.FAILURE, error
    if node.kind == "sleep":
        return states.SUCCESS, None
    if "default" in node.details:
        return states.SUCCESS, node.details["default"]
    name, seconds = node.details["signal"], node.details["timeout"]
    return states.FAILURE, NodeTimeout(f"{node.name}: signal {name!r} had not come after {seconds:g} s")


_LONGEST = 100 * 366 * 86_400
"""Seconds that a node may sleep."""


def moment_of(value: Any, name: str) -> float:
    """A time as unix seconds: a datetime (without a zone: UTC), its ISO 8601 text, or unix seconds. Raises
    CompositionError."""
    try:
        if isinstance(value, str):
            value = datetime.fromisoformat(value)
        if isinstance(value, datetime):
            value = aware(value).timestamp()
        if not isinstance(value, bool) and isinstance(value, int | float) and 0 <= value < 253_370_764_800:
            return float(value)
    except (ValueError, OverflowError):
        pass
    raise CompositionError(
        f"{name}: expected a time to sleep until, as a datetime or ISO 8601 text; got {value!r:.100}"
    )


def seconds_of(value: Any, name: str, what: str) -> float:
    """A length of time as seconds above 0. Raises CompositionError."""
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= _LONGEST:
        raise CompositionError(f"{name}: {what}: expected seconds above 0, or a timedelta; got {value!r:.100}")
    return float(value)


def _moment(due: float) -> str:
    return datetime.fromtimestamp(due, UTC).isoformat()
