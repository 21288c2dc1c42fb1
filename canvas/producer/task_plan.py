"""The plan of a call of one task, which needs no graph."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from canvas.model.compiled import Plan, ResultRef, TaskCall
from canvas.primitives.signature import Signature


def plan_task(
    sig: Signature[Any],
    args: Iterable[Any],
    kwargs: Mapping[str, Any],
    options: Mapping[str, Any],
    new_id: Callable[[], str],
) -> Plan:
    """The plan of a lone task: one message, no graph needed."""
    given = {key: value for key, value in options.items() if value is not None}
    rest = given.pop("chain", None)
    merged_args, merged_kwargs, merged = sig.merged_with(args, kwargs, given)
    merged = {**merged}
    task_id = merged.get("task_id")
    if not task_id:
        task_id = merged["task_id"] = new_id()
    if rest is not None:
        merged["chain"] = [*rest, *merged["chain"]] if merged.get("chain") else rest
    pending = ResultRef(task_id, None, None, sig.task, merged.get("ignore_result"))
    return Plan([TaskCall(sig.task, tuple(merged_args), merged_kwargs, merged)], [], pending, pending)
