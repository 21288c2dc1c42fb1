"""Compile a signature: tree → checked → graph of steps → plan. The one entrance of this room."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from canvas.graph.celery_embeddings import CeleryEmitter
from canvas.graph.lower import Lowering, PartialCall
from canvas.graph.steps import Fork
from canvas.model.compiled import Plan, ResultRef
from canvas.model.gc_pause import PAUSE_FROM, gc_paused
from canvas.primitives.cycles import OptionCheck, check_composed, refuse_cycles
from canvas.primitives.mapping import chunks
from canvas.primitives.signature import Signature

if TYPE_CHECKING:
    from canvas.graph.digraph import Graph


def compile(
    sig: Signature[Any],
    args: Iterable[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    *,
    new_id: Callable[[], str],
    reply_to: str | None = None,
    errback_on_header: bool = False,
    check: OptionCheck | None = None,
) -> Plan:
    """Everything one application of ``sig`` sends, with every id in place; ``sig`` is not changed.

    ``args`` go before the first steps' own, ``options`` are ``apply_async``'s; ``options["chain"]``, of the call and of
    ``sig`` itself, holds further steps in wire form (reversed), to follow the whole (semantics.md C13). An empty
    chain gives an empty plan without a result. ``check`` is called with the options of each member and callback.
    Raises CompositionError naming the step that cannot be compiled.
    """
    if isinstance(sig, chunks):
        sig = sig.group()
    given = dict(options or {})
    rest = given.pop("chain", None)
    rest = None if rest is None else list(rest)
    own = sig["options"]
    if own.get("chain"):
        rest = [*(rest or ()), *own["chain"]]
        sig = sig.with_fields(options={key: value for key, value in own.items() if key != "chain"})
    if sig.get("subtask_type") == "chain" and not sig.members():
        return Plan()
    # Only of the chain that is called itself: groups and chords copy their members, and Celery's copies lose the flag.
    closed = sig.get("subtask_type") == "chain" and sig.immutable
    call = PartialCall(() if closed else tuple(args), dict(kwargs or {}), given)
    lowering = Lowering(new_id, reply_to, errback_on_header)
    if check_composed(sig, check) < PAUSE_FROM:
        return _compiled(sig, call, rest, lowering)
    with gc_paused():
        return _compiled(sig, call, rest, lowering)


def _compiled(sig: Signature[Any], call: PartialCall, rest: list[Any] | None, lowering: Lowering) -> Plan:
    segment = lowering.lower(sig, call)
    if segment.kind == "group" and isinstance(segment.head, Fork) and not segment.head.members:
        return Plan(result=ResultRef(segment.head.id, None, []))
    plan = CeleryEmitter(sig.get("subtask_type") == "chain", rest).emit(segment.head)
    assert plan.result is not None
    head = _first(plan.result)
    first = _as_sent(head)
    if plan.calls:
        plan.trail = first
    # The result of applying a chord has the header as parent, whatever its body is (semantics.md C2, R8).
    if segment.kind == "group":
        plan.result = first
    elif segment.kind == "chord":
        plan.result = replace(plan.result, parent=first if segment.head.empty_header is None else head.parent)
    return plan


def graph_of(sig: Signature[Any], new_id: Callable[[], str]) -> "Graph":
    """The checked graph alone, for pictures and measurements."""
    # Imported late: networkx takes longer to load than all else that a program needs for its chains, groups and chords.
    from canvas.graph.digraph import digraph

    refuse_cycles(sig)
    if isinstance(sig, chunks):
        sig = sig.group()
    lowering = Lowering(new_id, None)
    lowering.lower(sig, PartialCall())
    return digraph(lowering.nodes)


def _first(result: ResultRef) -> ResultRef:
    """The task or group that starts the run; before it there may be a header of nothing."""
    head = result
    while head.parent is not None and (head.parent.parent is not None or head.parent.members != []):
        head = head.parent
    return head


def _as_sent(head: ResultRef) -> ResultRef:
    """The result that the sender of a run counts among its children; ``head`` starts the run (semantics.md R9)."""
    if head.members is not None and len(head.members) == 1 and head.members[0].members is not None:
        # A group of one that ends in a group has that group's result (semantics.md G12).
        return head.members[0]
    return head
