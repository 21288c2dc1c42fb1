"""Compile a signature: tree → graph → checked → plan. The one entrance of this room."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from canvas.graph.check import check
from canvas.graph.emit import Emission
from canvas.graph.lower import Call, Lowering
from canvas.graph.steps import Graph
from canvas.model.plan import Pending, Plan
from canvas.model.signature import Signature


def compile(
    sig: Signature[Any],
    args: Iterable[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    *,
    new_id: Callable[[], str],
    reply_to: str | None = None,
    errback_on_header: bool = False,
) -> Plan:
    """Everything one application of ``sig`` sends, with every id in place; ``sig`` is not changed.

    ``args`` go before the first steps' own, ``options`` are ``apply_async``'s; ``options["chain"]`` holds further
    steps in wire form (reversed), to follow the whole. An empty chain gives an empty plan without a result.
    Raises CompositionError naming the step that cannot be compiled.
    """
    given = dict(options or {})
    rest = given.pop("chain", None)
    if sig.subtask_type == "chain" and not sig._members():
        return Plan()
    lowering = Lowering(new_id, reply_to, errback_on_header)
    span = lowering.lower(sig, Call(tuple(args), dict(kwargs or {}), given))
    if sig.subtask_type == "group" and not lowering.graph.adj[span.head]:
        return Plan(result=Pending(span.head.removeprefix("fork:"), None, []))
    check(lowering.graph)
    chained = sig.subtask_type == "chain"
    plan = Emission(lowering.graph, chained, rest).emit(span.head)
    plan.result = _only_group(sig, plan.result)
    return plan


def graph_of(sig: Signature[Any], new_id: Callable[[], str]) -> Graph:
    """The checked graph alone, for pictures and measurements."""
    lowering = Lowering(new_id, None)
    lowering.lower(sig, Call())
    check(lowering.graph)
    return lowering.graph


def _only_group(sig: Signature[Any], result: Pending | None) -> Pending | None:
    """A group whose one member ends in a group has that group's result (SEMANTICS.md G12)."""
    if sig.subtask_type == "group" and result is not None and result.members and len(result.members) == 1:
        only = result.members[0]
        return only if only.members is not None else result
    return result
