"""The end of a chord of a workflow's run: its parts, and the next step of the run."""

from typing import Any

from canvas.errors import DecodeError, RefusedError, RunLost
from canvas.model.settlement import (
    ChordDispatch,
    MailboxStep,
    ReadyChord,
    Settlement,
    SettleResult,
    SpeculativeDispatch,
)
from canvas.model.workflow_run import KnownInput, NodeRef
from canvas.producer.outbox import Outbox
from canvas.telemetry import emit
from canvas.wire import typed_json
from canvas.wire.signing import end_of, mail_of, part_of
from canvas.workflows.run_records import outlive
from canvas.workflows.services import WorkflowServices
from canvas.workflows.steps.engine import RunEngine, advance_all, end_lost
from canvas.workflows.steps.waits import woken_step
from canvas.workflows.store import RunStore


class Part:
    """One decoded part."""

    __slots__ = ("result", "state", "task_id")

    def __init__(self, task_id: str, state: str, result: Any) -> None:
        self.task_id = task_id
        self.state = state
        self.result = result


def decoded_callback(app: WorkflowServices, ready: ReadyChord) -> dict[str, Any]:
    """The end of the chord as its last part describes it. Raises DecodeError for data that no worker wrote."""
    callback = typed_json.loads(app.signer.open(end_of(ready.group_id), ready.callback))
    if isinstance(callback, dict):
        run, how = callback.get("run"), callback.get("step")
        in_run = isinstance(run, list) and len(run) == 2 and isinstance(how, list)
        if in_run or (run is None and isinstance(callback.get("body"), dict)):
            return {"root_id": None, "parent_id": None, "run": None, **callback}
    raise DecodeError(f"the end of chord {ready.group_id}: expected its body; got {callback!r:.100}")


def parts_of(app: WorkflowServices, ready: ReadyChord) -> list[Part]:
    """The parts of the members. Raises DecodeError."""
    backend, place = app.backend, part_of(ready.group_id)
    return [Part(*backend.decode_part(app.signer.open(place, value))) for value in ready.parts]


def _inputs(app: WorkflowServices, ready: ReadyChord, place: str) -> list[KnownInput]:
    """The parts of a step of a run; ``place``: for which they are signed, if not for their chord. Raises
    DecodeError."""
    decode, signer, place = app.backend.decode_part, app.signer, place or part_of(ready.group_id)
    payloads = [signer.open(place, part) for part in ready.parts] if signer.signs else ready.parts
    return [KnownInput(int(slot), state, value) for slot, state, value in map(decode, payloads)]


def join_end(
    app: WorkflowServices, runs: RunStore, outbox: Outbox, ready: ReadyChord, callback: dict[str, Any]
) -> ChordDispatch:
    """The next step of a workflow's run, or its failure if data that it needs is gone."""
    run, attempt = callback["run"]
    advance = RunEngine(app, runs, outbox, run, attempt, callback["parent_id"])
    try:
        if ready.lost:
            emit("chord.lost", group_id=ready.group_id, parts=len(ready.parts))
            advance.fail_step(callback["step"], RunLost(state_gone(ready)))
        else:
            step = callback["step"]
            if step[0] == "start" and attempt:
                outlive(app, runs, run)  # who began this attempt may have died before it did so
            advance.resume_step(step, _inputs(app, ready, mail_of(run, str(step[3])) if step[0] == "woken" else ""))
    except (RunLost, DecodeError) as exc:
        end_lost(outbox, run, attempt, exc)
    advance_all(app, runs, outbox, callback["parent_id"])
    return outbox.chord_dispatch(ready.group_id)


def state_gone(ready: ReadyChord) -> str:
    """The text of the error with which a lost chord ends."""
    return (
        f"chord {ready.group_id}: its state is gone from the result backend, where it was deleted or evicted; "
        f"{len(ready.parts)} of its parts are left. Send the workflow again"
    )


def change_mailboxes(app: WorkflowServices, steps: list[MailboxStep]) -> None:
    """Apply these steps to mailboxes in the store, and take the next steps of the runs whose waits end. Raises
    RefusedError, OperationalError."""
    verdicts = app.driver.settler.settle([Settlement(None, fence="none", mail=steps)]).verdicts
    for verdict in verdicts:
        if verdict.refused:
            raise RefusedError(verdict.refused)
    go_on_here(app, app.run_store, verdicts)


def step_after_wait(
    app: WorkflowServices, runs: RunStore, place: NodeRef, parent: str | None, mailbox: str, value: bytes
) -> list[SpeculativeDispatch]:
    """The next step of a run after the wait of the node ``place`` in ``mailbox``, if it gets this ``value``. The step
    is sent along with the value, which saves a call and a chord. ``parent``: the task whose end began the wait.

    Empty if signals or events show each message that is sent, because this step may never be taken; and if the step
    does more than to store results, to send tasks and to return parts."""
    if app.sender.shows_messages or app.conf.task_send_sent_event:
        return []
    outbox = Outbox(app)
    engine = RunEngine(app, runs, outbox, place.run, place.attempt, parent)
    ready = engine.woken_marker(place.node, "value", mailbox, value)
    step = woken_step(place.node, "value", mailbox)
    try:
        end = join_end(app, runs, outbox, ready, {"run": place[:2], "step": step, "parent_id": parent})
    except Exception:  # noqa: BLE001 - it is met again, and reported, when the step is taken
        return []
    if outbox.mail or outbox.runs or outbox.chord_starts or outbox.deferrals:
        return []
    return [SpeculativeDispatch.of(end, ready.parts, ready.callback)]


def go_on_here(app: WorkflowServices, runs: RunStore, verdicts: list[SettleResult]) -> None:
    """Take the next steps of runs that this client's settlement has made ready, instead of leaving them to a worker.

    If a worker takes the step first, this does nothing."""
    ready = [one for verdict in verdicts for one in verdict.ready]
    while ready:
        one = ready.pop(0)
        callback = decoded_callback(app, one)
        if callback["run"] is not None:
            verdict = app.driver.settler.dispatch_chord(join_end(app, runs, Outbox(app), one, callback))
            ready += verdict.ready
