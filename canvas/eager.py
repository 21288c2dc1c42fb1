"""Run a workflow here and now: ``apply()`` and ``task_always_eager``.

Results are what a worker would have stored, and values pass from task to task as they are; nothing is sent.
"""

import time
from typing import Any

from canvas.errback import body_errbacks, call_errback, dependency_error, join_order, shown_error, takes_request
from canvas.errors import Ignore, Reject, TaskRevokedError
from canvas.execute import execute
from canvas.model import states
from canvas.model.chain import LAST_STEP, header_parts, normal_steps
from canvas.model.chord import body_options, chord, header_options
from canvas.model.current import current_request
from canvas.model.group import flat_members, group
from canvas.model.ids import new_id
from canvas.model.message import Message
from canvas.model.outcome import Failure, Ignored, Outcome, Rejected, Replaced, Retried, Revoked, Success
from canvas.model.request import Request
from canvas.model.signature import Signature, as_list, maybe_signature
from canvas.model.spread import chunks
from canvas.result import EagerResult, GroupResult
from canvas.telemetry import emit

_NOT_REQUEST = frozenset({"throw", "link", "link_error", "retries", "task_id", "root_id", "parent_id", "headers"})

Options = dict[str, Any]


def apply_eagerly(app: Any, sig: Signature[Any], args: tuple[Any, ...], kwargs: Options, options: Options) -> Any:
    """The EagerResult (or GroupResult of such) of running ``sig`` in this process."""
    return _run(app, sig, args, kwargs, options, alone=True)


def _run(
    app: Any, sig: Signature[Any], args: tuple[Any, ...], kwargs: Options, options: Options, alone: bool = False
) -> Any:
    """``alone``: not as a part of another composite."""
    if isinstance(sig, chunks):
        sig = sig.group()
    options = {key: value for key, value in options.items() if value is not None}
    if sig.subtask_type == "chain":
        return _chain(app, sig, args, kwargs, options, alone)
    if sig.subtask_type == "group":
        return _group(app, sig, args, kwargs, options)
    if isinstance(sig, chord):
        return _chord(app, sig, args, kwargs, options, alone)
    return _task(app, sig, args, kwargs, options)


# -- one task


def _task(app: Any, sig: Signature[Any], args: tuple[Any, ...], kwargs: Options, options: Options) -> EagerResult:
    args, kwargs, merged = sig._merge(args, kwargs, options)
    task = sig._type or app.tasks[sig.task]
    task.check_arguments(args, kwargs)
    request = _request(app, task.name, args, kwargs, merged)
    about = {"message": Message(task.name, request.id, args, kwargs), "hostname": app.hostname, "task": task}
    emit("eager.started", **about)
    began = time.perf_counter()
    outcome = execute(task, request, args, kwargs)
    emit("eager.finished", **about, request=request, outcome=outcome, runtime=time.perf_counter() - began)
    if isinstance(outcome, Retried) and outcome.retry.sig is not None:
        if merged.get("throw", app.conf.task_eager_propagates):
            raise outcome.retry
        again = {"retries": request.retries + 1, "task_id": request.id, "link": merged.get("link")}
        return _task(app, outcome.retry.sig.clone(), (), {}, {**again, "link_error": merged.get("link_error")})
    state, value, text = _end(outcome)
    if isinstance(outcome, Failure) and merged.get("throw", app.conf.task_eager_propagates):
        raise outcome.exc
    if isinstance(outcome, Success):
        for callback in as_list(merged.get("link")):
            _run(app, maybe_signature(callback, app), (outcome.value,), {}, {})
    elif state == states.FAILURE or isinstance(outcome, Rejected):
        _run_errbacks(app, as_list(merged.get("link_error")), request, value, text)
    if app.conf.task_store_eager_result or task.store_eager_result:
        app.backend.store_result(request.id, value, state, traceback=text, request=request)
    return EagerResult(request.id, value, state, traceback=text, name=task.name)


def _request(app: Any, name: str, args: Any, kwargs: Any, options: Options) -> Request:
    parent = current_request()
    task_id = options.get("task_id") or new_id()
    fields = {key: value for key, value in options.items() if key not in _NOT_REQUEST}
    own = {
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
    }
    return Request(None, **{**fields, **own})


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
        case Rejected(reason, requeue):
            return states.REJECTED, Reject(reason, requeue), None
        case Revoked(reason):
            return states.REVOKED, TaskRevokedError(reason), None


def _run_errbacks(app: Any, errbacks: list[Any], request: Request, exc: Any, text: str | None) -> None:
    for errback in errbacks:
        sig = maybe_signature(errback, app)
        if takes_request(app, sig):
            call_errback(app, sig, request, exc, text)
        else:
            _run(app, sig, (request.id,), {}, {"throw": False})


# -- one after the other


def _chain(app: Any, sig: Signature[Any], args: tuple[Any, ...], kwargs: Options, options: Options, alone: bool) -> Any:
    if not sig._members():
        return None
    merged = {**sig.options, **options}
    links, errbacks = as_list(merged.pop("link", None)), as_list(merged.pop("link_error", None))
    last = {key: merged.pop(key) for key in LAST_STEP if key in merged}
    steps = [step.clone() for step in normal_steps(sig._members())]
    if sig.args and not sig.immutable:
        args = (*args, *sig.args)
    for callback in links:
        steps[-1].link(callback)
    for step in steps:
        for errback in errbacks:
            step.link_error(errback)
    before: Any = None
    failure: BaseException | None = None
    for position, step in enumerate(steps):
        given = last if position == len(steps) - 1 else {}
        if failure is not None:
            result = _never_run(app, step, failure, given.get("task_id"))
        elif before is None:
            result = _run(app, step, args, kwargs, {**merged, **given}, alone and len(steps) == 1)
        else:
            result = _run(app, step, (_value(before),), {}, given)
        _first(result).parent, before = before, result
        failure = failure or _failure(result)
    return before


def _first(result: Any) -> Any:
    """Its first ancestor, or itself."""
    while result.parent is not None:
        result = result.parent
    return result


def _failure(result: Any) -> BaseException | None:
    """Why what follows ``result`` cannot run."""
    if isinstance(result, GroupResult):
        return next((exc for exc in map(_failure, result.results) if exc is not None), None)
    if result.state == states.SUCCESS:
        return None
    return result.result if isinstance(result.result, BaseException) else Ignore(f"the task ended as {result.state}")


def _value(result: Any) -> Any:
    return [_value(member) for member in result.results] if isinstance(result, GroupResult) else result.result


def _never_run(app: Any, sig: Signature[Any], exc: BaseException | None, task_id: str | None = None) -> Any:
    """The result of what a failure before it keeps from running; without ``exc``, of what nobody waits for."""
    if isinstance(sig, group):
        results = [_never_run(app, member, exc) for member in flat_members(sig.tasks)]
        return GroupResult(sig.id or new_id(), results, app=app)
    if isinstance(sig, chord):
        result = _never_run(app, sig.body, exc, task_id)
        if members := header_parts(sig.tasks):
            _first(result).parent = _never_run(app, group(members), None)
        return result
    if sig.subtask_type == "chain":
        result = None
        for step in normal_steps(sig._members()):
            following = _never_run(app, step, exc)
            _first(following).parent, result = result, following
        return result
    state = states.FAILURE if exc is not None else states.PENDING
    return EagerResult(task_id or sig.id or new_id(), exc, state, name=sig.task)


# -- side by side


def _group(app: Any, sig: Signature[Any], args: tuple[Any, ...], kwargs: Options, options: Options) -> Any:
    merged = {**sig.options, **options}
    group_id = merged.pop("task_id", None) or new_id()
    given = {key: value for key, value in merged.items() if key not in LAST_STEP}
    results = [_run(app, member, args, kwargs, given) for member in flat_members(sig._members())]
    return _only(GroupResult(group_id, results, app=app))


def _only(result: Any) -> Any:
    """A group of one that ends in a group has that group's result (SEMANTICS.md G12)."""
    members = result.results
    return members[0] if len(members) == 1 and isinstance(members[0], GroupResult) else result


def _chord(app: Any, sig: chord, args: tuple[Any, ...], kwargs: Options, options: Options, alone: bool) -> Any:
    kwargs = {**sig.kwargs.get("kwargs", {}), **kwargs}
    body = (maybe_signature(kwargs.pop("body", None)) or sig._body_or_raise()).clone()
    merged = {**sig.options, **options}
    for callback in as_list(merged.get("link")):
        body.link(callback)
    for errback in as_list(merged.get("link_error")):
        body.link_error(errback)
    if sig.args and not sig.immutable:
        args = (*args, *sig.args)
    members = header_parts(sig.tasks)
    results = [_run(app, member, args, kwargs, header_options(merged)) for member in members]
    header = GroupResult(new_id(), results, app=app)
    ended = join_order(results, lambda result: result.results if isinstance(result, GroupResult) else None)
    failed = next((task for task in ended if task.state != states.SUCCESS), None)
    body_id = {"task_id": options["task_id"]} if options.get("task_id") else {}
    if failed is None:
        result = _run(app, body, (_value(header),), {}, {**body_options(merged), **body_id})
    else:
        nested = any(isinstance(member, GroupResult) for member in results)
        result = _failed_body(app, body, failed, nested, options.get("task_id"))
    # Applied by itself, a chord's result has the header as parent, whatever its body is.
    if members or alone:
        (result if alone else _first(result)).parent = _only(header)
    return result


def _failed_body(app: Any, body: Signature[Any], failed: Any, nested: bool, body_id: str | None) -> Any:
    body.freeze(body_id)
    shown = shown_error(body, dependency_error(failed.id, failed.result, nested))
    for request in body_errbacks(body):
        _run_errbacks(app, request.errbacks, request, shown, None)
    return _never_run(app, body, shown, body_id)
