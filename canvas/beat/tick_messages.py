"""A tick of an entry and all that it sends, as a settlement with ids that all beats share."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from itertools import count
from typing import TYPE_CHECKING, Any, Protocol, cast
from uuid import NAMESPACE_OID, uuid5

from canvas.beat.arguments import evaluated, evaluated_call
from canvas.beat.entries import Entry
from canvas.errors import ConfigurationError
from canvas.model.compiled import Plan, ResultRef
from canvas.model.message import BuiltMessage
from canvas.model.settlement import Settlement, SettleResult
from canvas.primitives.signature import Signature
from canvas.producer.planner import SenderApp
from canvas.producer.sender import Sender
from canvas.telemetry import emit
from canvas.workflows.services import WorkflowServices

if TYPE_CHECKING:
    from canvas.workflows.run import Run
    from canvas.workflows.start import StartOptions

TICK_STAMP = "canvas_beat_tick"
"""The stamp that all tasks of a composite's tick have, so that they are cancelled together."""
_MOST_BEFORE = 200
"""Tasks before the ends of a tick that are remembered, at most."""
BEAT_HEADER = "celery_beat_task"
"""The header that marks a message of beat, as Celery's does."""


class BeatApp(SenderApp, WorkflowServices, Protocol):
    """The parts of an app that ticks need."""

    @property
    def registry(self) -> Any: ...


@dataclass(slots=True)
class Tick:
    """One tick, ready to be sent."""

    last: dict[str, Any]
    """How its run is found again: see ``EntryState.last``."""
    settlement: Settlement | None = None
    """``None``: ``send`` sends it."""
    send: Callable[[], Any] | None = None
    """Sends what a settlement cannot: a task whose class has an ``apply_async`` of its own, a unique task."""
    before: Callable[[], object] | None = None
    """Called before the settlement is committed; safe to repeat."""
    after: list[Callable[[SettleResult], None]] = field(default_factory=list)
    """Called when it is committed."""


class _TickApp:
    """An app whose new ids are those of one tick."""

    def __init__(self, app: BeatApp, seed: str) -> None:
        self._app = app
        self._seed = seed
        self._numbers = count()

    def new_id(self) -> str:
        return str(uuid5(NAMESPACE_OID, f"{self._seed}/{next(self._numbers)}"))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._app, name)


def tick_of(app: BeatApp, entry: Entry, seed: str) -> Tick:
    """The tick of ``entry`` whose ids are derived from ``seed``.

    Raises CompositionError, EncodeError, ConfigurationError and TypeError, as sending does, and whatever an argument
    raises that is computed.
    """
    own = cast(BeatApp, _TickApp(app, seed))
    if entry.is_workflow:
        return _run_of(own, entry)
    args, kwargs = evaluated_call(entry.args, entry.kwargs)
    headers = {**(entry.options.get("headers") or {}), BEAT_HEADER: True}
    emit("beat.composing", entry=entry, headers=headers, app=app)
    options = {**entry.options, "headers": headers}
    if isinstance(entry.task, str):
        sig: Signature[Any] = Signature(entry.task, args, kwargs, app=app)
        args, kwargs = (), {}
        typed = entry.task in app.tasks
    else:
        sig, typed = cast(Signature[Any], entry.task).clone(), True
        sig.own_app = app
    stamped = entry.overlap == "cancel_previous" and sig.subtask_type is not None
    if stamped:
        sig.stamp(None, False, **{TICK_STAMP: seed})
    sender = Sender(own)
    plan = sender.plan(sig, args, kwargs, options, typed=typed)
    own_way = _sends_itself(app, plan)
    tick = _own_tick(app, sig, args, kwargs, options, plan) if own_way else _settled(own, sender, plan)
    if stamped:
        tick.last["stamp"] = seed
    return tick


def _sends_itself(app: BeatApp, plan: Plan) -> bool:
    """Whether sending is more than a settlement: own ``apply_async`` or ``send_task``, locks of unique tasks, eager
    mode."""
    if app.sends_itself or app.conf.task_always_eager:
        return True
    tasks = [app.tasks.get(call.task) for call in plan.calls]
    if any(task is not None and task.sends_itself for task in tasks):
        return True
    return len(tasks) == 1 and tasks[0] is not None and bool(tasks[0].unique_for)


def _own_tick(app: BeatApp, sig: Signature[Any], args: Any, kwargs: Any, options: dict[str, Any], plan: Plan) -> Tick:
    ids = ids_of(plan.result)
    known = {"task_id": ids[-1]} if sig.subtask_type is None and ids else {}
    # A task's own apply_async counts, where there is one.
    task = app.tasks.get(sig.task) if sig.subtask_type is None else None

    def send() -> Any:
        if task is not None:
            return task.apply_async((*args, *sig.args), {**sig.kwargs, **kwargs}, **{**sig.options, **options, **known})
        if sig.subtask_type is None:
            return app.send_task(sig.task, (*args, *sig.args), {**sig.kwargs, **kwargs}, **options, **known)
        return app.apply_signature(sig, args, kwargs, options)

    return Tick(_last(plan.result), send=send)


def _settled(app: BeatApp, sender: Sender, plan: Plan) -> Tick:
    messages, chords = sender.encode(plan)
    if chords:
        app.backend.ensure_chords_allowed()
    settlement = Settlement(None, fence="none", chord_starts=chords, publishes=[out.publish for out in messages])

    def announce(_: SettleResult) -> None:
        for out in messages:
            emit("message.published", message=out.message)
        if app.conf.task_send_sent_event:
            _announce(app, messages)

    return Tick(_last(plan.result), settlement, after=[announce])


def _announce(app: BeatApp, messages: list[BuiltMessage]) -> None:
    for out in messages:
        app.sent_events.announce([out.message])


def _last(result: ResultRef | None) -> dict[str, Any]:
    """How the tasks of a plan are found again: those at its ends, and before each end those in one line with it."""
    last: dict[str, Any] = {"ids": ids_of(result)}
    before = ids_before(result)
    if before and sum(map(len, before.values())) <= _MOST_BEFORE:
        last["before"] = before
    return last


def ids_before(result: ResultRef | None) -> dict[str, list[str]]:
    """For each end of a plan the tasks without whose success it never runs. The body of a chord fails with its header:
    the header's tasks are left out."""
    if result is None:
        return {}
    line = [one.id for one in result.line()[:-1] if one.members is None]
    if result.members is None:
        return {result.id: line} if line else {}
    found = {end: ids for member in result.members for end, ids in ids_before(member).items()}
    return {end: [*line, *found.get(end, ())] for end in (ids_of(result) if line else found)}


def ids_of(result: ResultRef | None) -> list[str]:
    """The tasks whose end is that of a plan."""
    if result is None:
        return []
    if result.members is None:
        return [result.id]
    return [task_id for member in result.members for task_id in ids_of(member)]


def _run_of(app: BeatApp, entry: Entry) -> Tick:
    # Imported late: most entries are tasks, which need none of these.
    from canvas.workflows.run import Run
    from canvas.workflows.start import prepared
    from canvas.workflows.steps.chord_callbacks import go_on_here

    args, kwargs = evaluated_call(entry.args, entry.kwargs)
    flow: Any = (
        entry.task if hasattr(entry.task, "apply_async") else cast(Callable[..., Any], entry.task)(*args, **kwargs)
    )
    if not hasattr(flow, "entries"):
        raise ConfigurationError(
            f"schedule entry {entry.name!r}: expected a function that returns a workflow; it returned {flow!r:.100}"
        )
    options = _start_options(entry)
    about, nodes = prepared(flow, app, options)
    about["entry"] = entry.name
    run = Run(app, app.new_id(), about, 0, nodes)
    if "run_key" in about:
        return _keyed_tick(app, run, options.run_key_mismatch)
    if app.conf.task_always_eager:
        return Tick({"run": run.id}, send=lambda: Run.launch(app, about, nodes, True))
    settlement = run.first_settlement()

    def go_on(verdict: SettleResult) -> None:
        go_on_here(app, app.run_store, [verdict])

    return Tick({"run": run.id}, settlement, before=lambda: app.run_store.save(run.id, about, nodes), after=[go_on])


def _keyed_tick(app: BeatApp, run: "Run", mismatch: str) -> Tick:
    """The tick of an entry with a ``run_key``: a step that starts the run of the key, unless it is known."""
    from canvas.workflows.run import Run

    key = [run.name, str(run.key)]
    if app.conf.task_always_eager:
        return Tick({"run_key": key}, send=lambda: Run.launch(app, run.about, run.nodes, True, mismatch))
    known = app.run_store.run_of_key(*key)
    return Tick({"run": known or run.id, "run_key": key}, send=lambda: run.begin_once(mismatch))


def _start_options(entry: Entry) -> "StartOptions":
    """The options of the runs of an entry: the key and the labels may be computed at each tick."""
    from canvas.workflows.start import StartOptions

    known = [field.name for field in fields(StartOptions)]
    given = {name: evaluated(value) for name, value in entry.options.items()}
    if unknown := given.keys() - set(known):
        raise ConfigurationError(
            f"schedule entry {entry.name!r}: options of a workflow are {', '.join(known)}; got {', '.join(unknown)}"
        )
    labels = {label: evaluated(value) for label, value in (given.get("labels") or {}).items()}
    return StartOptions(**{**given, "labels": labels})
