"""A chord whose parts are all in: send its body, or end it with the first failure.

Sources: semantics.md K7–K9, K14, E6–E9, R3.
"""

from collections.abc import Sequence
from typing import Any

from canvas.app.application import Canvas
from canvas.errors import CanvasError, ChordError, OperationalError, RunLost
from canvas.execution.errbacks import (
    body_errbacks,
    body_exception,
    chord_join_order,
    dependency_error,
    dependency_traceback,
    errbacks_to_come,
)
from canvas.execution.executor import traceback_text
from canvas.model import states
from canvas.model.ids import Lineage
from canvas.model.record import Record
from canvas.model.settlement import ChordDispatch, ReadyChord, SpeculativeDispatch
from canvas.model.workflow_run import RUN_HEADER
from canvas.primitives.registry import maybe_signature
from canvas.primitives.signature import Signature
from canvas.producer.outbox import Outbox, PartOrigin
from canvas.telemetry import emit
from canvas.text import safe_repr
from canvas.worker.settlement.cascade import TerminalState, cascade_failure, fail_remaining
from canvas.worker.settlement.deep_calls import with_deep_calls
from canvas.worker.settlement.errbacks import run_errbacks
from canvas.worker.settlement.job import Job
from canvas.worker.settlement.speculation import SpeculativeJoins
from canvas.workflows.steps.chord_callbacks import (
    Part,
    decoded_callback,
    join_end,
    parts_of,
    state_gone,
    step_after_wait,
)
from canvas.workflows.steps.engine import advance_all, end_lost
from canvas.workflows.store import RunStore


def completed(app: Canvas, runs: RunStore, ready: ReadyChord) -> ChordDispatch:
    """The chord's end. Its body's arguments are the parts' values, in the header's order and nesting."""
    outbox = Outbox(app)
    try:
        callback = decoded_callback(app, ready)
        body = maybe_signature(callback.get("body"), app)
    except CanvasError as exc:
        emit("chord.dispatch_refused", group_id=ready.group_id, reason=str(exc))
        return outbox.chord_dispatch(ready.group_id, failed=True)
    if ready.ending != "body":
        return _end_refused(app, runs, ready, callback, body)
    if callback["run"] is not None:
        return join_end(app, runs, outbox, ready, callback)
    origin = PartOrigin(callback["root_id"], callback["parent_id"])
    if ready.lost:
        return _lose(app, runs, outbox, ready, body, origin)
    try:
        parts = parts_of(app, ready)
        failed = _failed(app, ready, parts)
        if failed is None:
            _send_body(app, outbox, body, _values(app, ready, parts), origin)
            return outbox.chord_dispatch(ready.group_id)
        error = dependency_error(failed.task_id, failed.result, nested=ready.structure is not None)
        original = _traceback_of(app, runs, failed.task_id)
        text = dependency_traceback(body_exception(body, error), failed.result, original)
    except (OperationalError, RecursionError):
        raise
    except (Exception, SystemExit) as exc:  # noqa: BLE001 - a router or a value's own code, which may raise anything
        outbox = Outbox(app)
        error = ChordError(f"Callback error: {safe_repr(exc)}")
        error.__cause__ = exc
        text = traceback_text(error)
    _fail_body(app, outbox, body, error, origin, text)
    advance_all(app, runs, outbox, origin.task_id)
    _report_failed(ready, body, error)
    return outbox.chord_dispatch(ready.group_id, failed=True)


def dispatch(app: Canvas, runs: RunStore, ready: ReadyChord) -> ChordDispatch:
    """The end of a chord, reported; also where its callbacks are nested deeper than Python's own limit.

    An end that raises is a refused one: the next, simpler end is tried, until one can be brought about. Raises
    OperationalError when a server is unreachable; the chord stays ready then.
    """
    while True:
        try:
            chord_dispatch = completed(app, runs, ready)
            break
        except OperationalError:
            raise
        except RecursionError:
            chord_dispatch = with_deep_calls(lambda: completed(app, runs, ready))  # noqa: B023 - called at once
            break
        except (Exception, SystemExit) as exc:
            if ready.ending == "removal":
                raise
            emit("worker.internal_error", work=ready, exc=exc)
            ready = ready.refused(safe_repr(exc))
    emit("chord.dispatched", group_id=ready.group_id, failed=chord_dispatch.failed)
    return chord_dispatch._replace(chord=ready)


def _end_refused(
    app: Canvas, runs: RunStore, ready: ReadyChord, callback: dict[str, Any], body: Signature[Any]
) -> ChordDispatch:
    """The ending of a chord whose body cannot be sent. A step of a workflow's run ends the run."""
    outbox, why = Outbox(app), ready.refusal
    if ready.ending == "removal":
        emit("chord.dispatch_refused", group_id=ready.group_id, reason=why)
    elif callback["run"] is not None:
        run, attempt = callback["run"]
        end_lost(outbox, run, attempt, RunLost(f"run {run}: its next step cannot be taken: {why}"))
    else:
        error = ChordError(f"Callback error: {why}")
        if ready.ending == "failure":
            origin = PartOrigin(callback["root_id"], callback["parent_id"])
            _fail_body(app, outbox, body, error, origin)
            advance_all(app, runs, outbox, origin.task_id)
        else:
            outbox.record(Record(str(body.result_id), states.FAILURE, error, None, []))
        _report_failed(ready, body, error)
    return outbox.chord_dispatch(ready.group_id, failed=True)


def _report_failed(ready: ReadyChord, body: Signature[Any], error: BaseException) -> None:
    emit("chord.failed", group_id=ready.group_id, body=body.task, body_id=body.result_id, exc=error)


def dispatch_speculatively(app: Canvas, runs: RunStore, ready: ReadyChord) -> ChordDispatch | None:
    """The end of a run's join whose parts are not committed yet, if it sends its node's task and nothing else: any
    other end may read the effects of the parts' settlements, and has to wait for them."""
    outbox = Outbox(app)
    try:
        callback = decoded_callback(app, ready)
        (run, attempt), (kind, number, *_) = callback["run"], callback["step"]
        waits = kind != "node" or runs.node(run, attempt, number).kind != "task"
        if waits or any(part.state != states.SUCCESS for part in parts_of(app, ready)):
            return None
        join_end(app, runs, outbox, ready, callback)
    except Exception:  # noqa: BLE001 - it is met again, and reported, when the join is handed out
        return None
    sends_only = outbox.publishes and not (outbox.stores or outbox.parts or outbox.deferrals or outbox.mail)
    return outbox.chord_dispatch(ready.group_id) if sends_only else None


def foreseen(
    app: Canvas, runs: RunStore, joins: SpeculativeJoins, done: Job, outbox: Outbox
) -> Sequence[SpeculativeDispatch]:
    """The ends that follow from the effects of one settlement, as far as this process knows: of joins, or the next
    step after a sleep that its timer ends. Other waits than sleeps have often ended when their timer runs out."""
    if outbox.parts:
        return joins.ends_of(outbox.parts)
    place, step = done.node, outbox.mail[0]
    sleeps = place is not None and place.is_timer and runs.node(place.run, place.attempt, place.node).kind == "sleep"
    if place is None or not sleeps or step.value is None or len(outbox.mail) != 1:
        return []
    return step_after_wait(app, runs, place, done.request.parent_id, step.mailbox, step.value)


def _lose(
    app: Canvas, runs: RunStore, outbox: Outbox, ready: ReadyChord, body: Signature[Any], origin: PartOrigin
) -> ChordDispatch:
    """The chord's state is gone: it fails, unless the part is a late copy, of a chord that had ended long before."""
    body_id = str(body.result_id)
    if runs.persist(lambda: app.backend.get_records([body_id]))[0] is None:
        emit("chord.lost", group_id=ready.group_id, parts=len(ready.parts))
        _fail_body(app, outbox, body, ChordError(state_gone(ready)), origin)
        advance_all(app, runs, outbox, origin.task_id)
    return outbox.chord_dispatch(ready.group_id, failed=True)


def _failed(app: Canvas, ready: ReadyChord, parts: list[Part]) -> Part | None:
    """The part whose failure the chord's body ends with."""
    failed = {part.task_id: part for part in parts if part.state in states.PROPAGATE_STATES}
    first = next(iter(failed.values()), None)
    if ready.structure is None or len(failed) < 2:
        return first
    _, members = app.backend.decode_group(ready.structure)
    return next((failed[task_id] for (task_id, _), _ in chord_join_order(members, _inside) if task_id in failed), first)


def _traceback_of(app: Canvas, runs: RunStore, task_id: str) -> str | None:
    """The stored traceback of a task that has failed."""
    (record,) = runs.persist(lambda: app.backend.get_records([task_id]))
    return None if record is None else record.traceback


def _inside(node: Any) -> Any:
    _, members = node
    return members


def _values(app: Canvas, ready: ReadyChord, parts: list[Part]) -> list[Any]:
    """The list the body takes; nested where the header's saved structure is (semantics.md H6)."""
    if ready.structure is None:
        return [part.result for part in parts]
    by_id = {part.task_id: part.result for part in parts}
    _, members = app.backend.decode_group(ready.structure)
    return [_nested(member, by_id) for member in members]


def _nested(node: Any, by_id: dict[str, Any]) -> Any:
    (task_id, _parent), members = node
    return by_id.get(task_id) if members is None else [_nested(member, by_id) for member in members]


def _send_body(app: Canvas, outbox: Outbox, body: Signature[Any], values: list[Any], origin: PartOrigin) -> None:
    outbox.send(body, Lineage(origin.root_id, origin.task_id), (values,))


def _fail_body(
    app: Canvas,
    outbox: Outbox,
    body: Signature[Any],
    error: ChordError,
    origin: PartOrigin,
    text: str | None = None,
) -> None:
    """The body never runs: it ends in FAILURE, its own chord gets the failure, its errbacks run once.

    The members of a group take the header's own exception, and so does the group's id (semantics.md E8).
    ``text``: the traceback to store.
    """
    shown = body_exception(body, error)
    if body.subtask_type == "group":
        record = Record(str(body.options.get("task_id")), states.FAILURE, shown, text, [])
        outbox.record(record, in_run=RUN_HEADER in body.options)
    cascade_failure(outbox, body, TerminalState(states.FAILURE, shown, text, origin))
    fail_remaining(outbox, body.options.get("chain"), TerminalState(states.FAILURE, error, text, origin))
    later = errbacks_to_come(body)
    for request in body_errbacks(body):
        now = [errback for errback in request.errbacks or () if maybe_signature(errback) not in later]
        run_errbacks(app, outbox, now, request, shown, None)
