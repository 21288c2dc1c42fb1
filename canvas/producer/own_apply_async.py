"""Calls that a plan leaves to a task with its own ``apply_async``, or to an app with its own ``send_task``."""

from collections.abc import Iterable, Mapping
from typing import Any

from canvas.model.call_options import ATTRIBUTES
from canvas.model.compiled import Plan, TaskCall, gathering
from canvas.model.ids import Lineage
from canvas.primitives.signature import Signature
from canvas.producer.planner import Planner, SenderApp
from canvas.producer.result_handles import handle_of

_PASSED = (*ATTRIBUTES, "immediate", "mandatory", "task_id", "producer", "link", "link_error", "shadow")
"""Options that ``send_task`` gets with a value or without."""


def take_own(app: SenderApp, plan: Plan) -> list[TaskCall]:
    """Take such calls out of a composite's plan; all of them, if the app has its own ``send_task``."""
    tasks, every = app.tasks, app.sends_itself
    left: list[TaskCall] = []
    own: list[TaskCall] = []
    for call in plan.calls:
        task = tasks.get(call.task)
        (own if every or (task is not None and task.sends_itself) else left).append(call)
    plan.calls = left
    return own


def send_own(app: SenderApp, plan: Plan, own: list[TaskCall]) -> Any:
    """Have such calls sent. Returns the result of the call that is the whole plan."""
    for call in own:
        call.options["add_to_parent"] = False
        task = app.tasks.get(call.task)
        if task is not None and task.sends_itself:
            result = task.apply_async(call.args, call.kwargs, **call.options)
        else:
            result = send_task(app, call.task, call.args, call.kwargs, call.options)
        if plan.result is not None and plan.result.parent is None and plan.result.id == call.options["task_id"]:
            return result
    return None


def gather_own(app: SenderApp, plan: Plan, own: list[TaskCall], lineage: Lineage) -> list[Plan]:
    """Have such calls sent by a worker that settles: the plans of what they send, for its settlement."""
    plans: list[Plan] = []
    for call in own:
        options = call.options
        options["root_id"] = options.get("root_id") or lineage.root_id
        options["parent_id"] = options.get("parent_id") or lineage.parent_id
        if options.get("priority") is None and lineage.priority is not None:
            options["priority"] = lineage.priority
    token = gathering.set(plans)
    try:
        send_own(app, plan, own)
    finally:
        gathering.reset(token)
    return plans


def gather(app: SenderApp, sig: Signature[Any], plan: Plan, plans: list[Plan]) -> Any:
    """Add a plan to what is gathered, in place of sending it. Returns the handle of its result."""
    own = take_own(app, plan) if Planner.is_composite(sig) else []
    plans.append(plan)
    alone = send_own(app, plan, own)
    return handle_of(app, plan.result) if alone is None and plan.result is not None else alone


def send_task(
    app: SenderApp, name: str, args: Iterable[Any] | None, kwargs: Mapping[str, Any] | None, options: Mapping[str, Any]
) -> Any:
    """Have the app's own ``send_task`` send a call, with the arguments as they are and the options of its task."""
    task = app.tasks.get(name)
    if task is None:
        return app.send_task(name, args, kwargs, task_type=None, **options)
    # An option without a value is passed too, as Celery does: `setdefault` in a `send_task` then keeps it so.
    return app.send_task(
        name, args, kwargs, task_type=task, **{**dict.fromkeys(_PASSED), **task.attribute_options(), **options}
    )
