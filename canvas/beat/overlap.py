"""Whether the last run of an entry is over, and how it is cancelled."""

from canvas.beat.entries import Entry
from canvas.beat.state import EntryState
from canvas.beat.tick_messages import TICK_STAMP, BeatApp
from canvas.config.lifetimes import whole_seconds
from canvas.errors import ConfigurationError, RunLost
from canvas.model import states


def check_overlap(app: BeatApp, entry: Entry) -> None:
    """Raises ConfigurationError when nothing shows whether a run of ``entry`` is over, and its policy asks for it."""
    if entry.overlap == "allow":
        return
    where = f"schedule entry {entry.name!r}: overlap={entry.overlap!r}"
    if app.driver.results is None:
        raise ConfigurationError(
            f"{where} needs a result backend, which shows whether a run is over: set result_backend"
        )
    task = app.tasks.get(entry.task) if isinstance(entry.task, str) else None
    ignored = entry.options.get("ignore_result", task.ignore_result if task is not None else None)
    if ignored and not entry.is_workflow:
        raise ConfigurationError(f"{where} needs the task's result, and {entry.what} has ignore_result")


def is_running(app: BeatApp, state: EntryState, now: float) -> bool:
    """Whether the last run is not over.

    A task without a record counts as running until ``result_expires`` has passed: later its record may have expired.
    """
    if (run := _last_run(app, state)) is not None:
        return _run_goes_on(app, run)
    ids = state.last.get("ids") or []
    lasting = whole_seconds(app.conf.result_expires)
    if not ids or (lasting and now - float(state.last.get("at", 0.0)) > lasting):
        return False
    before = state.last.get("before") or {}
    return any(
        app.AsyncResult(task_id).state not in states.READY_STATES
        and not any(app.AsyncResult(one).state in states.PROPAGATE_STATES for one in before.get(task_id, ()))
        for task_id in ids
    )


def _last_run(app: BeatApp, state: EntryState) -> str | None:
    """The id of the last run, if the entry starts workflows."""
    if "run_key" in state.last:
        return app.run_store.run_of_key(*state.last["run_key"])
    run: str | None = state.last.get("run")
    return run


def _run_goes_on(app: BeatApp, run: str) -> bool:
    from canvas.workflows.run import Run

    try:
        return not Run.find(app, run).status().over
    except RunLost:
        return False


def cancel(app: BeatApp, state: EntryState) -> None:
    """End the last run; safe to repeat."""
    if (run := _last_run(app, state)) is not None:
        from canvas.workflows.run import Run

        try:
            Run.find(app, run).cancel(terminate=True)
        except RunLost:
            return
        return
    if "stamp" in state.last:
        app.control.revoke_by_stamped_headers({TICK_STAMP: state.last["stamp"]}, terminate=True)
    # The body of a chord has no stamp of its header.
    before = dict.fromkeys(one for line in (state.last.get("before") or {}).values() for one in line)
    if ids := [*before, *(state.last.get("ids") or ())]:
        app.control.revoke(ids, terminate=True)
