"""Error callbacks: which are called here, which are sent (SEMANTICS.md E3–E5)."""

import inspect
from typing import Any

from canvas.app import Canvas
from canvas.client import Ambient
from canvas.model.group import group
from canvas.model.request import Request
from canvas.model.signature import Signature, maybe_signature
from canvas.telemetry import emit
from canvas.worker.effects import Effects


def run_errbacks(app: Canvas, effects: Effects, errbacks: Any, request: Request, exc: BaseException, text: Any) -> None:
    """Call every errback of the new style here, and add one message group for all the others.

    New style is a task registered here, not bound, that takes more than one positional argument: it is called
    as ``errback(request, exc, traceback)``. The others are sent with the failed task's id.
    """
    by_id = []
    for errback in errbacks or ():
        sig = maybe_signature(errback, app)
        if _takes_request(app, sig):
            _call(app, sig, request, exc, text)
        else:
            by_id.append(sig)
    if by_id:
        plan = effects.plan(group(by_id, app=app), (request.id,), {})
        effects.send(plan, Ambient(request.root_id, request.id))


def _takes_request(app: Canvas, sig: Signature[Any]) -> bool:
    task = app.tasks.get(sig.task)
    if task is None or task.bound or sig.subtask_type is not None:
        return False
    try:
        parameters = inspect.signature(task.run).parameters.values()
    except (TypeError, ValueError):
        return False
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return True
    taken = 0 if sig.immutable else len(sig.args)
    return sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters) - taken > 1


def _call(app: Canvas, sig: Signature[Any], request: Request, exc: BaseException, text: Any) -> None:
    """Call one errback; what it raises is reported, and does not change how the failed task ends."""
    task = app.tasks[sig.task]
    args = sig.args if sig.immutable else (request, exc, text, *sig.args)
    try:
        task(*args, **sig.kwargs)
    except Exception as failure:  # noqa: BLE001 - an errback's own failure must not undo the settlement
        emit("errback.failed", task=task.name, task_id=request.id, exc=failure)
