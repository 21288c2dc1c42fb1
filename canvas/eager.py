"""Run a workflow here and now: ``apply()`` and ``task_always_eager``.

Results are what a worker would have stored; nothing is sent.
"""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

from canvas.execute import execute
from canvas.model import states
from canvas.model.chain import normal_steps
from canvas.model.chord import chord, header_members
from canvas.model.current import current_request
from canvas.model.group import flat_members
from canvas.model.outcome import Failure, Ignored, Outcome, Rejected, Replaced, Retried, Revoked, Success
from canvas.model.request import Request
from canvas.model.signature import Signature, as_list, maybe_signature
from canvas.model.spread import chunks
from canvas.result import EagerResult, GroupResult

_NOT_REQUEST = frozenset({"throw", "link", "link_error", "retries", "task_id", "root_id", "parent_id", "headers"})


def apply_eagerly(app: Any, sig: Signature[Any], args: tuple[Any, ...], kwargs: dict[str, Any], options: Any) -> Any:
    """The EagerResult (or GroupResult of such) of running ``sig`` in this process."""
    if isinstance(sig, chunks):
        sig = sig.group()
    runner: Callable[..., Any] = _KINDS.get(sig.subtask_type or "", _task)
    return runner(app, sig, args, kwargs, dict(options or {}))


def _task(app: Any, sig: Signature[Any], args: tuple[Any, ...], kwargs: dict[str, Any], options: dict[str, Any]) -> Any:
    args, kwargs, merged = sig._merge(args, kwargs, {k: v for k, v in options.items() if v is not None})
    task = sig._type or app.tasks[sig.task]
    task.check_arguments(args, kwargs)
    request = _request(app, task.name, args, kwargs, merged)
    outcome = execute(task, request, args, kwargs)
    if isinstance(outcome, Retried) and outcome.retry.sig is not None:
        again = {"retries": request.retries + 1, "task_id": request.id, "link": merged.get("link")}
        return _task(app, outcome.retry.sig.clone(), (), {}, {**again, "link_error": merged.get("link_error")})
    state, value, text = _end(outcome)
    throw = merged.get("throw", app.conf.task_eager_propagates)
    if throw and isinstance(outcome, Failure):
        raise outcome.exc
    _callbacks(app, request, outcome, merged)
    result = EagerResult(request.id, value, state, traceback=text, name=task.name)
    if app.conf.task_store_eager_result or task.store_eager_result:
        app.backend.store_result(request.id, value, state, traceback=text, request=request)
    return result


def _request(app: Any, name: str, args: Any, kwargs: Any, options: dict[str, Any]) -> Request:
    parent = current_request()
    task_id = options.get("task_id") or str(uuid4())
    fields = {key: value for key, value in options.items() if key not in _NOT_REQUEST}
    return Request(
        None,
        **{
            **fields,
            "id": task_id,
            "task": name,
            "args": args,
            "kwargs": kwargs,
            "retries": options.get("retries", 0),
            "is_eager": True,
            "called_directly": False,
            "hostname": app.hostname,
            "headers": options.get("headers"),
            "root_id": options.get("root_id") or (parent.root_id if parent else task_id),
            "parent_id": options.get("parent_id") or (parent.id if parent else None),
            "delivery_info": {"is_eager": True, "exchange": None, "routing_key": None, "priority": None},
        },
    )


def _end(outcome: Outcome) -> tuple[str, Any, str | None]:
    match outcome:
        case Success(value):
            return states.SUCCESS, value, None
        case Failure(exc, text):
            return states.FAILURE, exc, text
        case Retried(retry, text):
            return states.RETRY, retry.exc or retry, text
        case Ignored() | Replaced():
            return states.IGNORED, None, None
        case Rejected(reason, _):
            return states.REJECTED, reason, None
        case Revoked(reason):
            return states.REVOKED, reason, None


def _callbacks(app: Any, request: Request, outcome: Outcome, options: dict[str, Any]) -> None:
    if isinstance(outcome, Success):
        for callback in as_list(options.get("link")):
            apply_eagerly(app, maybe_signature(callback, app), (outcome.value,), {}, {})
    elif isinstance(outcome, Failure):
        for errback in as_list(options.get("link_error")):
            sig = maybe_signature(errback, app)
            apply_eagerly(app, sig, (request.id,), {}, {})


def _chain(
    app: Any, sig: Signature[Any], args: tuple[Any, ...], kwargs: dict[str, Any], options: dict[str, Any]
) -> Any:
    merged = {**sig.options, **options}
    links = as_list(merged.pop("link", None))
    errbacks = as_list(merged.pop("link_error", None))
    task_id = merged.pop("task_id", None)
    before: Any = None
    steps = normal_steps(sig._members())
    for position, original in enumerate(steps):
        step = original.clone()
        if position == len(steps) - 1:
            for callback in links:
                step.link(callback)
            if task_id:
                step.set(task_id=task_id)
        for errback in errbacks:
            step.link_error(errback)
        given = (args, kwargs, merged) if before is None else ((before.get(),), {}, {})
        result = apply_eagerly(app, step, *given)
        result.parent, before = before, result
        if isinstance(result, EagerResult) and result.state not in (states.SUCCESS,):
            break
    return before


def _group(
    app: Any, sig: Signature[Any], args: tuple[Any, ...], kwargs: dict[str, Any], options: dict[str, Any]
) -> Any:
    merged = {**sig.options, **options}
    group_id = merged.pop("task_id", None) or str(uuid4())
    results = [apply_eagerly(app, m, args, kwargs, dict(merged)) for m in flat_members(sig._members())]
    return GroupResult(group_id, results, app=app)


def _chord(
    app: Any, sig: Signature[Any], args: tuple[Any, ...], kwargs: dict[str, Any], options: dict[str, Any]
) -> Any:
    assert isinstance(sig, chord)
    body = (maybe_signature(kwargs.pop("body", None)) or sig.body).clone()
    merged = {**sig.options, **options}
    for callback in as_list(merged.pop("link", None)):
        body.link(callback)
    for errback in as_list(merged.pop("link_error", None)):
        body.link_error(errback)
    body_id = options.get("task_id")
    members = flat_members(header_members(sig.tasks))
    header = GroupResult(str(uuid4()), [apply_eagerly(app, m, args, kwargs, {}) for m in members], app=app)
    result = apply_eagerly(app, body, (header.get(),), {}, {"task_id": body_id} if body_id else {})
    result.parent = header
    return result


_KINDS: dict[str, Callable[..., Any]] = {"chain": _chain, "group": _group, "chord": _chord}
