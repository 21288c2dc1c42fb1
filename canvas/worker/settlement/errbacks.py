"""Error callbacks of a task that a worker ran: which are called here, which are sent (semantics.md E3–E5)."""

from typing import Any

from canvas.app.application import Canvas
from canvas.errors import BrokerError
from canvas.execution.errbacks import call_errback, is_new_style
from canvas.model.ids import Lineage
from canvas.model.request import Request
from canvas.primitives.group import group
from canvas.primitives.registry import maybe_signature
from canvas.primitives.signature import Signature
from canvas.producer.outbox import Outbox
from canvas.producer.send_errors import problem_of
from canvas.telemetry import emit


def run_errbacks(app: Canvas, outbox: Outbox, errbacks: Any, request: Request, exc: BaseException, text: Any) -> None:
    """Call every errback of the new style here, and add one message group for all the others.

    New style is called as ``errback(request, exc, traceback)``, once the failure is stored: it may look at the result.
    The others are sent with the failed task's id.
    """
    here: list[Signature[Any]] = []
    by_id: list[Signature[Any]] = []
    for errback in errbacks or ():
        sig = maybe_signature(errback, app)
        (here if is_new_style(app, sig) else by_id).append(sig)
    if here:
        _store(app, outbox)
    for sig in here:
        call_errback(app, sig, request, exc, text)
    if by_id:
        _send(app, outbox, by_id, request)


def _store(app: Canvas, outbox: Outbox) -> None:
    """Store the records of the failure ahead of its settlement, which stores them again."""
    results, new = app.driver.results, outbox.stores[outbox.stored_early :]
    if results is None or not new:
        return
    try:
        results.store(new)
    except BrokerError as exc:
        emit("broker.unreachable", error=str(exc))
    else:
        outbox.stored_early = len(outbox.stores)


def _send(app: Canvas, outbox: Outbox, sigs: list[Any], request: Request) -> None:
    """All in one group; where that cannot be, each that can."""
    lineage = Lineage(request.root_id or request.id, request.id)
    problem = problem_of(lambda: outbox.send(group(sigs, app=app), lineage, (request.id,)))
    if problem is not None and len(sigs) == 1:
        emit("errback.failed", task=sigs[0].task, task_id=request.id, exc=problem)
    elif problem is not None:
        for sig in sigs:
            _send(app, outbox, [sig], request)
