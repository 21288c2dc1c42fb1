"""The hooks that a task's class defines for its end: ``on_success``, ``on_failure``, ``on_retry``, ``after_return``."""

from collections.abc import Callable

from canvas.errors import Reject
from canvas.execution.executor import call_hook, outcome_hook, return_hook
from canvas.model.outcome import Outcome
from canvas.worker.pipeline.job import Job


def with_hooks(job: Job, outcome: Outcome, send_signals: Callable[[], None]) -> Reject | None:
    """Call the hook of the outcome, send the signals, then call ``after_return``; the Reject of a hook."""
    task, request = job.task, job.request
    facts = task, request, job.message.args, job.message.kwargs, outcome
    hook = outcome_hook(*facts)
    rejected = call_hook(hook, task, request) if hook is not None else None
    send_signals()
    hook = return_hook(*facts)
    return (call_hook(hook, task, request) if hook is not None else None) or rejected
