"""A chord whose parts are all in: send its body, or end it with the first failure.

Sources: SEMANTICS.md K7–K9, K14, E6–E9, R3.
"""

from typing import Any

from canvas.app import Canvas
from canvas.client import Ambient
from canvas.effects import Completer, Effects
from canvas.errback import body_errbacks, dependency_error, join_order, shown_error
from canvas.errors import CanvasError, ChordError, DecodeError, RunLost
from canvas.model import states
from canvas.model.record import Record
from canvas.model.settlement import Firing, Ready
from canvas.model.shortrepr import safe_repr
from canvas.model.signature import Signature, maybe_signature
from canvas.runs import Runs
from canvas.telemetry import emit
from canvas.wire import typed_json
from canvas.wire.signing import end_of, part_of
from canvas.worker.abandon import Ending, abandon, abandon_rest
from canvas.worker.errbacks import run_errbacks
from canvas.workflows.advance import Advance, advance_all


class Part:
    """One decoded part."""

    __slots__ = ("result", "state", "task_id")

    def __init__(self, task_id: str, state: str, result: Any) -> None:
        self.task_id = task_id
        self.state = state
        self.result = result


def fire(app: Canvas, runs: Runs, ready: Ready) -> Firing:
    """What ends the chord. Its body's arguments are the parts' values, in the header's order and nesting."""
    effects = Effects(app)
    try:
        told = _told(app, ready)
        body = maybe_signature(told.get("body"), app)
    except CanvasError as exc:
        emit("chord.refused", group_id=ready.group_id, reason=str(exc))
        return effects.firing(ready.group_id, failed=True)
    if told["run"] is not None:
        return _advance(app, runs, effects, ready, told)
    completer = Completer(told["root_id"], told["parent_id"])
    try:
        parts = _parts(app, ready)
        failed = _failed(app, ready, parts)
        if failed is None:
            _send_body(app, effects, body, _values(app, ready, parts), completer)
            return effects.firing(ready.group_id)
        error = dependency_error(failed.task_id, failed.result, nested=ready.structure is not None)
    except (CanvasError, TypeError, ValueError) as exc:
        effects = Effects(app)
        error = ChordError(f"Callback error: {safe_repr(exc)}")
        error.__cause__ = exc
    _fail_body(app, effects, body, error, completer)
    advance_all(app, runs, effects, completer.task_id)
    return effects.firing(ready.group_id, failed=True)


def fire_ahead(app: Canvas, runs: Runs, ready: Ready) -> Firing | None:
    """What ends a run's join whose parts are not committed yet, if that is to send its node's task and nothing else:
    all else may look at what the parts' settlements leave behind, and has to wait for them."""
    effects = Effects(app)
    try:
        told = _told(app, ready)
        (run, attempt), (kind, number, *_) = told["run"], told["told"]
        waits = kind != "node" or runs.node(run, attempt, number).kind != "task"
        if waits or any(part.state != states.SUCCESS for part in _parts(app, ready)):
            return None
        _advance(app, runs, effects, ready, told)
    except Exception:  # noqa: BLE001 - it is met again, and told, when the join is handed out
        return None
    sends_only = effects.publishes and not (effects.stores or effects.parts or effects.deferrals)
    return effects.firing(ready.group_id) if sends_only else None


def _told(app: Canvas, ready: Ready) -> dict[str, Any]:
    """What the last part said of the chord's end. Raises DecodeError for what no worker wrote."""
    told = typed_json.loads(app.signer.open(end_of(ready.group_id), ready.fire))
    if isinstance(told, dict):
        run, how = told.get("run"), told.get("told")
        in_run = isinstance(run, list) and len(run) == 2 and isinstance(how, list)
        if in_run or (run is None and isinstance(told.get("body"), dict)):
            return {"root_id": None, "parent_id": None, "run": None, **told}
    raise DecodeError(f"the end of chord {ready.group_id}: expected its body; got {told!r:.100}")


def _advance(app: Canvas, runs: Runs, effects: Effects, ready: Ready, told: dict[str, Any]) -> Firing:
    """The next step of a workflow's run; nothing for a run that is forgotten."""
    run, attempt = told["run"]
    try:
        parts = _parts(app, ready)
        inputs = [(int(part.task_id), part.state, part.result) for part in parts]
        Advance(app, runs, effects, run, attempt, told["parent_id"]).go_on(told["told"], inputs)
    except (RunLost, DecodeError) as exc:
        emit("run.lost", run=run, reason=str(exc))
    return effects.firing(ready.group_id)


def _parts(app: Canvas, ready: Ready) -> list[Part]:
    """What the members came to. Raises DecodeError."""
    backend, place = app.backend, part_of(ready.group_id)
    return [Part(*backend.decode_part(app.signer.open(place, value))) for value in ready.parts]


def _failed(app: Canvas, ready: Ready, parts: list[Part]) -> Part | None:
    """The part whose failure the chord's body ends with."""
    failed = {part.task_id: part for part in parts if part.state in states.PROPAGATE_STATES}
    first = next(iter(failed.values()), None)
    if ready.structure is None or len(failed) < 2:
        return first
    _, members = app.backend.decode_group(ready.structure)
    return next((failed[task_id] for (task_id, _), _ in join_order(members, _inside) if task_id in failed), first)


def _inside(node: Any) -> Any:
    _, members = node
    return members


def _values(app: Canvas, ready: Ready, parts: list[Part]) -> list[Any]:
    """The list the body takes; nested where the header's saved structure is (SEMANTICS.md H6)."""
    if ready.structure is None:
        return [part.result for part in parts]
    by_id = {part.task_id: part.result for part in parts}
    _, members = app.backend.decode_group(ready.structure)
    return [_nested(member, by_id) for member in members]


def _nested(node: Any, by_id: dict[str, Any]) -> Any:
    (task_id, _parent), members = node
    return by_id.get(task_id) if members is None else [_nested(member, by_id) for member in members]


def _send_body(app: Canvas, effects: Effects, body: Signature[Any], values: list[Any], completer: Completer) -> None:
    plan = effects.plan(body, (values,), {})
    effects.send(plan, Ambient(completer.root_id, completer.task_id))


def _fail_body(app: Canvas, effects: Effects, body: Signature[Any], error: ChordError, completer: Completer) -> None:
    """The body never runs: it ends in FAILURE, its own chord hears of it, its errbacks run once.

    The members of a group take the header's own exception, and so does the group's id (SEMANTICS.md E8).
    """
    shown = shown_error(body, error)
    if body.subtask_type == "group":
        effects.record(Record(str(body.options.get("task_id")), states.FAILURE, shown, None, []))
    abandon(effects, body, Ending(states.FAILURE, shown, None, completer))
    abandon_rest(effects, body.options.get("chain"), Ending(states.FAILURE, error, None, completer))
    for request in body_errbacks(body):
        run_errbacks(app, effects, request.errbacks, request, shown, None)
