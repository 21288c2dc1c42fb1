"""Run a workflow here and now: ``apply()`` and ``task_always_eager``.

Results are what a worker would have stored, and values pass from task to task as they are. Nothing is sent but calls of
tasks that are not registered in this process.
"""

import time
from contextvars import ContextVar
from typing import Any

from canvas.context import enter_request, leave_request
from canvas.errors import EncodeError, Ignore, OperationalError
from canvas.execution.eager_request import eager_request, end_of, is_stored
from canvas.execution.errbacks import (
    body_errbacks,
    body_exception,
    call_errback,
    chord_join_order,
    dependency_error,
    is_new_style,
)
from canvas.execution.executor import execute, outcome_hook, return_hook, traceback_text
from canvas.model import states
from canvas.model.ids import new_id
from canvas.model.message import Message
from canvas.model.options import LAST_STEP
from canvas.model.outcome import Failure, Outcome, Rejected, Retried, Success
from canvas.model.request import Request
from canvas.primitives.chain import normal_steps
from canvas.primitives.chord import body_of, body_options, chord, header_options
from canvas.primitives.cycles import refuse_cycles
from canvas.primitives.ends import header_parts, link_end
from canvas.primitives.group import flat_members, group
from canvas.primitives.mapping import chunks
from canvas.primitives.signature import Signature, as_list, maybe_signature
from canvas.result import EagerResult, GroupResult
from canvas.telemetry import emit

_around: ContextVar[tuple[Any, ...]] = ContextVar("canvas_eager_errbacks", default=())
"""The errbacks that the chords around what runs will call, should it fail."""

Options = dict[str, Any]


def apply_eagerly(app: Any, sig: Signature[Any], args: tuple[Any, ...], kwargs: Options, options: Options) -> Any:
    """The EagerResult (or GroupResult of such) of running ``sig`` in this process.

    Raises CompositionError, with the path, where a signature contains itself; nothing has run by then.
    """
    refuse_cycles(sig)
    if isinstance(sig, chunks):
        sig = sig.group()
    return _run(app, sig, args, kwargs, options, alone=True)


def send_eagerly(app: Any, sig: Signature[Any], args: tuple[Any, ...], kwargs: Options, options: Options) -> Any:
    """``apply_async`` under ``task_always_eager``. A call of one task that is not registered here is sent.

    Raises TypeError when the arguments of one task do not fit it, CompositionError where it contains itself.
    """
    refuse_cycles(sig)
    if _is_elsewhere(app, sig):
        return app.sender.send(sig, app.sender.plan(sig, args, kwargs, options), options)
    if sig.subtask_type is None and not isinstance(sig, chunks):
        return _task(app, sig, args, kwargs, {key: value for key, value in options.items() if value is not None}, True)
    return apply_eagerly(app, sig, args, kwargs, options)


def _run(
    app: Any, sig: Signature[Any], args: tuple[Any, ...], kwargs: Options, options: Options, alone: bool = False
) -> Any:
    """``alone``: not as a part of another composite."""
    options = {key: value for key, value in options.items() if value is not None}
    if sig.subtask_type == "chain":
        return _chain(app, sig, args, kwargs, options, alone)
    if sig.subtask_type == "group":
        return _group(app, sig, args, kwargs, options)
    if isinstance(sig, chord):
        return _chord(app, sig, args, kwargs, options, alone)
    return _task(app, sig, args, kwargs, options)


def _task(
    app: Any, sig: Signature[Any], args: tuple[Any, ...], kwargs: Options, options: Options, sent: bool = False
) -> EagerResult:
    """``sent``: by ``apply_async``, so that the task's own options count."""
    args, kwargs, merged = sig.merged_with(args, kwargs, options)
    task = sig.own_type or app.tasks[sig.task]
    if sent:
        task.check_arguments(args, kwargs)
        merged = {**task.exec_options(), **merged}
    request = eager_request(app.hostname, task, args, kwargs, merged)
    token = enter_request(request)
    try:
        outcome = _perform(app, task, request, merged)
    finally:
        leave_request(token)
    if isinstance(outcome, Retried) and outcome.retry.sig is not None:
        again = {"retries": request.retries + 1, "task_id": request.id, "link": merged.get("link")}
        return _task(app, outcome.retry.sig.clone(), (), {}, {**again, "link_error": merged.get("link_error")})
    state, value, text = end_of(outcome)
    return EagerResult(request.id, value, state, traceback=text, name=task.name)


def _perform(app: Any, task: Any, request: Request, options: Options) -> Outcome:
    """Run the task with its callbacks, hooks and signals, in Celery's order. Raises what a hook raises, and with
    ``throw`` what the task raises."""
    args, kwargs = request.args, request.kwargs
    about = {"message": Message(task.name, request.id, args, kwargs), "hostname": app.hostname, "task": task}
    emit("eager.started", **about)
    began = time.perf_counter()
    over: Outcome | None = None
    try:
        outcome = _thrown(execute(task, request, args, kwargs), options.get("throw", app.conf.task_eager_propagates))
        outcome = _followed(app, task, request, options, outcome)
        over = outcome if isinstance(outcome, Success) else None
        if (hook := outcome_hook(task, request, args, kwargs, outcome)) is not None:
            hook.call()
        over = outcome
        emit("eager.finished", **about, request=request, outcome=outcome, runtime=time.perf_counter() - began)
        if (hook := return_hook(task, request, args, kwargs, outcome)) is not None:
            hook.call()
        return outcome
    finally:
        emit("eager.over", **about, request=request, outcome=over, runtime=time.perf_counter() - began)


def _thrown(outcome: Outcome, throw: bool) -> Outcome:
    if throw and isinstance(outcome, Failure):
        raise outcome.exc
    if throw and isinstance(outcome, Retried):
        raise outcome.retry
    return outcome


def _followed(app: Any, task: Any, request: Request, options: Options, outcome: Outcome) -> Outcome:
    """What the task has come to, its callbacks run and its result stored."""
    if isinstance(outcome, Success):
        try:
            for callback in as_list(options.get("link")):
                _run_callback(app, maybe_signature(callback, app), outcome.value)
        except (EncodeError, OperationalError) as exc:
            outcome = _thrown(Failure(exc, traceback_text(exc)), options.get("throw", app.conf.task_eager_propagates))
    state, value, text = end_of(outcome)
    if is_stored(app.conf.task_store_eager_result, task, request, state):
        app.backend.store_result(request.id, value, state, traceback=text, request=request)
    if state == states.FAILURE or isinstance(outcome, Rejected):
        _run_errbacks(app, as_list(options.get("link_error")), request, value, text)
    return outcome


def _run_callback(app: Any, sig: Signature[Any], value: Any) -> None:
    """Here, or, where its task is not registered, on a worker that knows it."""
    if _is_elsewhere(app, sig):
        app.sender.send(sig, app.sender.plan(sig, (value,), {}, {}), {})
    else:
        _run(app, sig, (value,), {}, {})


def _is_elsewhere(app: Any, sig: Signature[Any]) -> bool:
    """Whether it calls one task, and that is not registered here."""
    return sig.subtask_type is None and sig.own_type is None and sig.task not in app.tasks


def _run_errbacks(app: Any, errbacks: list[Any], request: Request, exc: Any, text: str | None) -> None:
    for errback in errbacks:
        sig = maybe_signature(errback, app)
        if is_new_style(app, sig):
            call_errback(app, sig, request, exc, text)
        elif _is_elsewhere(app, sig):
            app.sender.send(sig, app.sender.plan(sig, (request.id,), {}, {}), {})
        else:
            _run(app, sig, (request.id,), {}, {"throw": False})


# -- one after the other


def _chain(app: Any, sig: Signature[Any], args: tuple[Any, ...], kwargs: Options, options: Options, alone: bool) -> Any:
    if not sig.members():
        return None
    merged = {**sig.options, **options}
    links, errbacks = as_list(merged.pop("link", None)), as_list(merged.pop("link_error", None))
    last = {key: merged.pop(key) for key in LAST_STEP if key in merged}
    steps = [step.clone() for step in normal_steps(sig.members())]
    args = tuple(sig.args) if sig.immutable else (*args, *sig.args)
    for callback in links:
        link_end(steps[-1], callback)
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
        for step in normal_steps(sig.members()):
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
    results = [_run(app, member, args, kwargs, given) for member in flat_members(sig.members())]
    return _only(GroupResult(group_id, results, app=app))


def _only(result: Any) -> Any:
    """A group of one that ends in a group has that group's result (semantics.md G12)."""
    members = result.results
    return members[0] if len(members) == 1 and isinstance(members[0], GroupResult) else result


def _chord(app: Any, sig: chord, args: tuple[Any, ...], kwargs: Options, options: Options, alone: bool) -> Any:
    kwargs = {**sig.kwargs.get("kwargs", {}), **kwargs}
    body = body_of(sig, kwargs.pop("body", None)).clone()
    merged = {**sig.options, **options}
    for callback in as_list(merged.get("link")):
        body.link(callback)
    for errback in as_list(merged.get("link_error")):
        body.link_error(errback)
    args = tuple(sig.args) if sig.immutable else (*args, *sig.args)
    members = header_parts(sig.tasks)
    around = _around.set((*_around.get(), *_errbacks_of(body)))
    try:
        results = [_run(app, member, args, kwargs, header_options(merged)) for member in members]
    finally:
        _around.reset(around)
    header = GroupResult(new_id(), results, app=app)
    ended = chord_join_order(results, lambda result: result.results if isinstance(result, GroupResult) else None)
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
    shown = body_exception(body, dependency_error(failed.id, failed.result, nested))
    later = _around.get()
    for request in body_errbacks(body):
        now = [errback for errback in request.errbacks or () if maybe_signature(errback) not in later]
        _run_errbacks(app, now, request, shown, None)
    return _never_run(app, body, shown, body_id)


def _errbacks_of(body: Signature[Any]) -> list[Any]:
    return [maybe_signature(errback) for request in body_errbacks(body) for errback in request.errbacks or ()]
