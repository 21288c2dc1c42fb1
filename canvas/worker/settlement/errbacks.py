"""Error callbacks of a task that a worker ran: which are called here, which are sent (semantics.md E3–E5)."""

from typing import Any

from canvas.app.application import Canvas
from canvas.errors import CanvasError
from canvas.execution.errbacks import call_errback, is_new_style
from canvas.model.request import Request
from canvas.primitives.group import group
from canvas.primitives.signature import maybe_signature
from canvas.producer.message_builder import Lineage
from canvas.producer.outbox import Outbox
from canvas.telemetry import emit


def run_errbacks(app: Canvas, effects: Outbox, errbacks: Any, request: Request, exc: BaseException, text: Any) -> None:
    """Call every errback of the new style here, and add one message group for all the others.

    New style is called as ``errback(request, exc, traceback)``. The others are sent with the failed task's id.
    """
    by_id = []
    for errback in errbacks or ():
        sig = maybe_signature(errback, app)
        if is_new_style(app, sig):
            call_errback(app, sig, request, exc, text)
        else:
            by_id.append(sig)
    if by_id:
        _send(app, effects, by_id, request)


def _send(app: Canvas, effects: Outbox, sigs: list[Any], request: Request) -> None:
    """All in one group; where that cannot be, each that can."""
    try:
        plan = effects.plan(group(sigs, app=app), (request.id,), {})
        effects.send(plan, Lineage(request.root_id or request.id, request.id))
    except (CanvasError, TypeError, ValueError) as exc:
        if len(sigs) == 1:
            emit("errback.failed", task=sigs[0].task, task_id=request.id, exc=exc)
            return
        for sig in sigs:
            _send(app, effects, [sig], request)
