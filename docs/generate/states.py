"""The tables of states, from the constants that the code compares."""

from canvas.model import states
from canvas.model.run_index import CANCELLED, CANCELLING, IF_CANCELLED, RUN_STATES
from canvas.model.workflow_run import AWAITING_SIGNAL, AWAITING_TASK, SKIPPED, SLEEPING
from canvas.workflows.status import ENDED, UPSTREAM_FAILED, WAITING
from docs.generate.markdown import code, table

TASKS = {
    states.PENDING: "Nothing is stored: the task was not sent, waits in a queue, or its result has expired.",
    states.RECEIVED: "A worker has the message. Nothing stores it; events show it.",
    states.STARTED: "The task runs (with `task_track_started`), or its process was killed and it runs again.",
    states.RETRY: "An attempt has ended; the next one is due later. The result is the reason.",
    states.SUCCESS: "The task returned; the result is its value.",
    states.FAILURE: "The task raised, exceeded its time limit, or could not run; the result is the exception.",
    states.REVOKED: "The task was revoked, or it expired before it started.",
    states.REJECTED: "The task raised `Reject`. Events and signals show it; the record stays as it was.",
    states.IGNORED: "The task raised `Ignore`. Events and signals show it; the record stays as it was.",
}
ENDS = (states.RETRY, states.SUCCESS, states.FAILURE, states.REVOKED)
FOLLOWS = {
    states.PENDING: (states.STARTED, *ENDS),
    states.STARTED: ENDS,
    states.RETRY: (states.STARTED, *ENDS),
}
"""The states of a record that may replace each state; a final state is not replaced."""
NODES = {
    WAITING: "A node that it depends on has not ended.",
    states.PENDING: "Its message is in the queue, or its task runs without `task_track_started`.",
    states.STARTED: "Its task runs; or a part of its map, chain, group, chord, loop or workflow has begun.",
    states.RETRY: "As for tasks.",
    SLEEPING: "It waits for a time (`sleep`).",
    AWAITING_SIGNAL: "It waits for a signal (`wait_for`).",
    AWAITING_TASK: "No worker that took its message has its task registered.",
    states.SUCCESS: 'It succeeded, or it failed under `on_failure="continue"` and its default is used.',
    states.FAILURE: "It failed.",
    states.REVOKED: "It was revoked, expired, or cancelled with its run.",
    states.IGNORED: "Its task raised `Ignore`.",
    UPSTREAM_FAILED: "It never ran, because a node that it depends on failed.",
    SKIPPED: "It never ran, because a branch took another arm.",
}
RUNS = {
    states.PENDING: "The run is stored; no node has begun.",
    states.STARTED: "A node has begun.",
    CANCELLING: "`cancel` was called, and a node that runs has not ended.",
    states.FAILURE: "Every node has ended, and one that decides the run failed. `resume` makes it STARTED again.",
    CANCELLED: "`cancel` was called, or the run's `timeout` or `expires` has passed, and every node has ended.",
    states.SUCCESS: "Every node has ended, and the run has its value.",
}


def of_tasks() -> str:
    """The states of a task, which of them are final, and which may replace which."""
    rows = []
    for name, text in TASKS.items():
        final = name in states.READY_STATES
        rows.append((code(name), "yes" if final else "no", text, ", ".join(map(code, FOLLOWS.get(name, ())))))
    return table(("State", "Final", "Meaning", "May become"), rows)


def of_nodes() -> str:
    """The states of a node of a run."""
    rows = [(code(name), "yes" if name in ENDED else "no", text) for name, text in NODES.items()]
    return table(("State", "Ended", "Meaning"), rows)


def of_runs() -> str:
    """The states of a run, and the state that a cancellation makes of each."""
    rows = [(code(name), RUNS[name], code(IF_CANCELLED.get(name, ""))) for name in RUN_STATES]
    return table(("State", "Meaning", "After `cancel`"), rows)
