"""Signals to the nodes of a run that wait for them."""

from collections.abc import Callable, Sequence
from contextvars import Context, copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from canvas.caller_warnings import warn_caller
from canvas.config.settings import nearest
from canvas.drivers.ports.settler import PartlySettled
from canvas.errors import CompositionError, OperationalError, RefusedError
from canvas.model import states
from canvas.model.ids import new_id
from canvas.model.settlement import MailboxStep, Settlement, SettleResult, SpeculativeDispatch
from canvas.model.workflow_run import NodeRef, task_id_of
from canvas.task.payload_schema import checked_payload
from canvas.wire.signing import mail_of
from canvas.workflows.services import WorkflowServices
from canvas.workflows.steps.chord_callbacks import change_mailboxes, go_on_here, step_after_wait
from canvas.workflows.steps.waits import signal_mailbox

if TYPE_CHECKING:
    from canvas.workflows.run_results import RunResults

_FROM_SIGNAL = 0


def check_name(name: Any, where: str) -> str:
    """The name of a signal. Raises CompositionError for one that cannot be a name."""
    if not isinstance(name, str) or not name or not name.isprintable():
        raise CompositionError(f"{where}: expected the name of a signal, as text; got {name!r:.100}")
    return name


class Signal(NamedTuple):
    """A signal to a run, with the step of the run's mailbox that brings it."""

    run: "RunResults"
    name: str
    waits: list[int]
    """The nodes that wait for signals of this name."""
    step: MailboxStep
    context: Context
    """The context of the caller. Messages are built in it."""


def signal_to(run: "RunResults", name: str, payload: Any, key: str | None) -> Signal:
    """The signal that ``Run.signal`` sends; nothing is sent yet. Raises CompositionError, EncodeError."""
    app, mailbox = run.app, signal_mailbox(check_name(name, f"run {run.id}"))
    if key is not None and (not isinstance(key, str) or not key.isprintable()):
        raise CompositionError(f"run {run.id}: key: expected text; got {key!r:.100}")
    waits = [place for place, node in enumerate(run.nodes) if node.kind == "wait" and node.details["signal"] == name]
    if not waits:
        _warn_of_unknown(run, name)
    for place in waits:
        node = run.nodes[place]
        schema = node.details.get("schema")
        payload = payload if schema is None else checked_payload(node.name, schema, payload)
    part = app.backend.encode_part(str(_FROM_SIGNAL), states.SUCCESS, payload)
    value = app.signer.seal(mail_of(run.id, mailbox), part)
    step = MailboxStep(run.id, mailbox, "offer", f"signal {key or new_id()}", value)
    return Signal(run, name, waits, step, copy_context())


def send_signal(run: "RunResults", name: str, payload: Any, key: str | None) -> None:
    """``Run.signal``. Raises RunLost as well."""
    (problem,) = send_signals([signal_to(run, name, payload, key)])
    if problem is not None:
        raise problem


def send_signals(signals: Sequence[Signal]) -> list[Exception | None]:
    """Send signals of one app, each to another run, in one call to the store. Returns the error of each that fails.

    Raises OperationalError if the call fails for all of them."""
    app, known, settlements = signals[0].run.app, [], []
    for run, _, waits, step, context in signals:
        # The nodes of an attempt never change: the next step need not read those of the first one.
        nodes = None if run.attempt else app.run_store.know_unstored(run.id, 0, run.nodes, run.about, certain=False)
        known.append(nodes)
        ends = [] if nodes is None else context.run(_next_step, run, waits, step)
        settlements.append(Settlement(None, fence="none", mail=[step], speculative=ends))
    try:
        verdicts, away = app.driver.settler.settle(settlements).verdicts, ""
    except PartlySettled as exc:
        verdicts, away = exc.reply.verdicts, str(exc)
    woken, problems = _go_on(signals, verdicts)
    for at, signal in enumerate(signals):
        if problems[at] is None:
            refused = verdicts[at].refused if verdicts else ""
            if refused or (verdicts and verdicts[at].unsettled):
                problems[at] = RefusedError(refused) if refused else OperationalError(away)
            elif signal.run.id not in woken:
                problems[at] = _error_of(partial(_keep, signal, bool(verdicts)))
    del known
    return problems


def _go_on(signals: Sequence[Signal], verdicts: Sequence[SettleResult]) -> tuple[set[str], list[Exception | None]]:
    """Take the next steps of the runs whose waits have ended, unless the store has taken them. Returns the ids of these
    runs, and for each signal the error of its step."""
    app, places = signals[0].run.app, {signal.run.id: at for at, signal in enumerate(signals)}
    woken: set[str] = set()
    problems: list[Exception | None] = [None] * len(signals)
    for at, verdict in enumerate(verdicts):
        woken.update(map(_waiting_run, verdict.ended))
        for ready in verdict.ready:
            # A store that commits in two steps names the chords of all settlements together.
            run = _waiting_run(ready.group_id)
            woken.add(run)
            place = places.get(run, at)
            step = partial(go_on_here, app, app.run_store, [SettleResult(True, [ready])])
            problems[place] = problems[place] or _error_of(partial(signals[place].context.run, step))
    return woken, problems


def _waiting_run(group_id: str) -> str:
    """The run whose wait for a value has this group id; empty for another chord's."""
    return group_id.rsplit(".", 3)[0] if group_id.endswith(".value") else ""


def _error_of(call: Callable[[], None]) -> Exception | None:
    try:
        call()
    except Exception as exc:  # noqa: BLE001 - the caller of this signal gets it, and those of the others do not
        return exc
    return None


def _keep(signal: Signal, certain: bool) -> None:
    """Keep a signal for which no node waits; ``certain``: the store's reply, which shows this, was not lost. Raises as
    ``Run.signal``."""
    run, name, _, step, _ = signal
    app = run.app
    if certain and _has_ended(run):
        if app.run_store.took_mail(run.id, step.mailbox, step.id):
            return  # by an earlier call with this key, after which the run has ended
        raise CompositionError(f"run {run.id} of {run.name!r} has ended: no node of it waits for signal {name!r}")
    app.run_store.metadata(run.id)  # nothing is kept for a run that has expired
    change_mailboxes(app, [step._replace(kind="post")])


def _warn_of_unknown(run: "RunResults", name: str) -> None:
    """Warn of a signal that no node can take: the nodes of a run do not change."""
    known = {str(node.details["signal"]) for node in run.nodes if node.kind == "wait"}
    near = nearest(name, known) if known else None
    hint = f"did you mean {near!r}?" if near else f"they wait for {', '.join(sorted(known)) or 'none'}"
    warn_caller(
        f"no node of run {run.id} of {run.name!r} waits for signal {name!r}, which is kept with the run; {hint}"
    )


def _has_ended(run: "RunResults") -> bool:
    (own,) = run.app.backend.get_records([run.id])
    if own is None or own.status not in states.READY_STATES:
        return False
    return bool(own.extra.get("attempt", run.attempt) == run.attempt)


def _next_step(run: "RunResults", waits: list[int], step: MailboxStep) -> list[SpeculativeDispatch]:
    """The next step of a run in its first attempt, after the only node that waits for the signal; empty if ``waits``
    are several."""
    if len(waits) != 1 or step.value is None:
        return []
    place, parent = NodeRef(run.id, 0, waits[0]), _task_before(run, waits[0])
    return step_after_wait(run.app, run.app.run_store, place, parent, step.mailbox, step.value)


def _task_before(run: "RunResults", number: int) -> str | None:
    """The task whose end began the wait of a node, if the graph shows that it can only be one."""
    before = [place for place, node in enumerate(run.nodes) for out in node.outs if out.node == number]
    if len(before) == 1 and run.nodes[before[0]].kind == "task":
        return task_id_of(NodeRef(run.id, 0, before[0]))
    return None


def pending_signals(app: WorkflowServices, run: str) -> dict[str, list[Any]]:
    """The payloads that were sent and no node has taken, by the signal's name."""
    found: dict[str, list[Any]] = {}
    for mailbox, values in app.run_store.mail(run).items():
        place = mail_of(run, mailbox)
        payloads = [app.backend.decode_part(app.signer.open(place, value))[2] for value in values]
        found[mailbox.removeprefix(signal_mailbox(""))] = payloads
    return found
