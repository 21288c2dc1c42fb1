"""Run a workflow in this process: ``apply()`` and ``task_always_eager``.

Results are those that a worker would have stored. Values pass from task to task as they are, but ``apply_async`` of one
call writes its arguments and reads them again, as a message would. Only calls of tasks that are not registered in this
process are sent.
"""

from contextvars import ContextVar
from typing import Any

from canvas.errors import Ignore
from canvas.execution.eager_request import Options
from canvas.execution.eager_task import EagerApp, EagerTasks, is_composite, is_elsewhere, send
from canvas.execution.errbacks import (
    body_errbacks,
    body_exception,
    chord_join_order,
    dependency_error,
    dependency_traceback,
)
from canvas.graph.ends import link_end, with_ends
from canvas.model import states
from canvas.model.call_options import LAST_STEP, given
from canvas.model.ids import new_id
from canvas.model.outcome import Failure
from canvas.primitives.chain import normal_steps
from canvas.primitives.chord import body_of, body_options, chord, header_options
from canvas.primitives.cycles import refuse_cycles
from canvas.primitives.fields import as_list
from canvas.primitives.group import flat_members, group
from canvas.primitives.mapping import chunks
from canvas.primitives.registry import maybe_signature
from canvas.primitives.signature import Signature
from canvas.result import EagerResult, GroupResult

_around: ContextVar[tuple[Any, ...]] = ContextVar("canvas_eager_errbacks", default=())
"""The errbacks that the chords around the running task will call if the task fails."""


def apply_eagerly(app: EagerApp, sig: Signature[Any], args: tuple[Any, ...], kwargs: Options, options: Options) -> Any:
    """The EagerResult (or GroupResult) of running ``sig`` in this process.

    Raises CompositionError, with the path, if a signature contains itself; no task has run by then.
    """
    refuse_cycles(sig)
    if isinstance(sig, chunks):
        sig = sig.group()
    return EagerRun(app).run(sig, args, kwargs, options, alone=True)


def apply_task(app: EagerApp, sig: Signature[Any], options: Options) -> Any:
    """The EagerResult of one task, by the ``apply`` of all tasks: that of the task's own class may have called it."""
    refuse_cycles(sig)
    return EagerRun(app).tasks.call(sig, (), {}, given(options))


def send_eagerly(app: EagerApp, sig: Signature[Any], args: tuple[Any, ...], kwargs: Options, options: Options) -> Any:
    """``apply_async`` under ``task_always_eager``. A call of one task that is not registered here is sent.

    Raises TypeError if the arguments of one task do not fit it, EncodeError if they cannot be written, CompositionError
    if the signature contains itself.
    """
    refuse_cycles(sig)
    if is_elsewhere(app, sig):
        return send(app, sig, args, kwargs, options)
    if not is_composite(sig):
        return EagerRun(app).tasks.call(sig, args, kwargs, given(options), sent=True)
    return apply_eagerly(app, sig, args, kwargs, options)


class EagerRun:
    """Runs tasks, chains, groups and chords in this process."""

    def __init__(self, app: EagerApp) -> None:
        self._app = app
        self.tasks = EagerTasks(app, self.run)

    def run(
        self, sig: Signature[Any], args: tuple[Any, ...], kwargs: Options, options: Options, alone: bool = False
    ) -> Any:
        """The result of ``sig``. ``alone``: it is not a part of another composite."""
        options = given(options)
        if sig.subtask_type == "chain":
            return self._chain(sig, args, kwargs, options, alone)
        if sig.subtask_type == "group":
            return self._group(sig, args, kwargs, options)
        if isinstance(sig, chord):
            return self._chord(sig, args, kwargs, options, alone)
        return self.tasks.run(sig, args, kwargs, options)

    def _chain(self, sig: Signature[Any], args: tuple[Any, ...], kwargs: Options, options: Options, alone: bool) -> Any:
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
        failure: Failure | None = None
        for position, step in enumerate(steps):
            final = last if position == len(steps) - 1 else {}
            if failure is not None:
                result = self._unreachable(step, failure, final.get("task_id"))
            elif before is None:
                result = self.run(step, args, kwargs, {**merged, **final}, alone and len(steps) == 1)
            else:
                result = self.run(step, (_value(_one_task(before)),), {}, final)
            _root(result).parent, before = before, result
            failure = failure or _failure(result)
        return before

    def _unreachable(self, sig: Signature[Any], failure: Failure | None, task_id: str | None = None) -> Any:
        """The result of a signature that does not run because of an earlier failure.

        Without one: the pending result of a signature that no other one waits for.
        """
        if isinstance(sig, group):
            results = [self._unreachable(member, failure) for member in flat_members(sig.tasks)]
            return GroupResult(sig.id or new_id(), results, app=self._app)
        if isinstance(sig, chord):
            result = self._unreachable(sig.body, failure, task_id)
            if members := with_ends(sig.flat_header()):
                _root(result).parent = self._unreachable(group(members), None)
            return result
        if sig.subtask_type == "chain":
            result = None
            for step in normal_steps(sig.members()):
                following = self._unreachable(step, failure)
                _root(following).parent, result = result, following
            return result
        task_id = task_id or sig.id or new_id()
        if failure is None:
            return EagerResult(task_id, None, states.PENDING, name=sig.task)
        unrun: Any = EagerResult(task_id, failure.exc, states.FAILURE, failure.traceback or None, name=sig.task)
        self.tasks.store_unrun(sig, unrun)
        return unrun

    def _group(self, sig: Signature[Any], args: tuple[Any, ...], kwargs: Options, options: Options) -> Any:
        merged = {**sig.options, **options}
        group_id = merged.pop("task_id", None) or new_id()
        inherited = {key: value for key, value in merged.items() if key not in LAST_STEP}
        results = [self.run(member, args, kwargs, inherited) for member in flat_members(sig.members())]
        return _unwrap_single(GroupResult(group_id, results, app=self._app))

    def _chord(self, sig: chord, args: tuple[Any, ...], kwargs: Options, options: Options, alone: bool) -> Any:
        kwargs = {**sig.kwargs.get("kwargs", {}), **kwargs}
        body = body_of(sig, kwargs.pop("body", None)).clone()
        merged = {**sig.options, **options}
        for callback in as_list(merged.get("link")):
            body.link(callback)
        for errback in as_list(merged.get("link_error")):
            body.link_error(errback)
        args = tuple(sig.args) if sig.immutable else (*args, *sig.args)
        members = with_ends(sig.flat_header())
        around = _around.set((*_around.get(), *_errbacks_of(body)))
        try:
            results = [self.run(member, args, kwargs, header_options(merged)) for member in members]
        finally:
            _around.reset(around)
        header = GroupResult(new_id(), results, app=self._app)
        ended = chord_join_order(results, lambda result: result.results if isinstance(result, GroupResult) else None)
        failed = next((task for task in ended if task.state != states.SUCCESS), None)
        body_id = {"task_id": options["task_id"]} if options.get("task_id") else {}
        if failed is None:
            result = self.run(body, (_value(header),), {}, {**body_options(merged), **body_id})
        else:
            nested = any(isinstance(member, GroupResult) for member in results)
            result = self._failed_body(body, failed, nested, options.get("task_id"))
        # The result of a chord that is applied alone has the header as parent, whatever its body is.
        if members or alone:
            (result if alone else _root(result)).parent = _unwrap_single(header) if alone else header
        return result

    def _failed_body(self, body: Signature[Any], failed: Any, nested: bool, body_id: str | None) -> Any:
        body.freeze(body_id)
        shown = body_exception(body, dependency_error(failed.id, failed.result, nested))
        later = _around.get()
        for request in body_errbacks(body):
            now = [errback for errback in request.errbacks or () if maybe_signature(errback) not in later]
            self.tasks.run_errbacks(now, request, shown, None)
        text = dependency_traceback(shown, failed.result, failed.traceback)
        return self._unreachable(body, Failure(shown, text or ""), body_id)


def _root(result: Any) -> Any:
    """The result's first ancestor, or itself."""
    while result.parent is not None:
        result = result.parent
    return result


def _failure(result: Any) -> Failure | None:
    """The failure for which the signatures after ``result`` cannot run."""
    if isinstance(result, GroupResult):
        return next((failure for failure in map(_failure, result.results) if failure is not None), None)
    if result.state == states.SUCCESS:
        return None
    if isinstance(result.result, BaseException):
        return Failure(result.result, result.traceback or "")
    return Failure(Ignore(f"the task ended as {result.state}"))


def _value(result: Any) -> Any:
    return [_value(member) for member in result.results] if isinstance(result, GroupResult) else result.result


def _one_task(result: Any) -> Any:
    """The result whose value the next step of a chain takes. Only a group of one task has a step after it."""
    while isinstance(result, GroupResult) and len(result.results) == 1:
        result = result.results[0]
    return result


def _unwrap_single(result: Any) -> Any:
    """A group of one that ends in a group has that group's result (semantics.md G12)."""
    members = result.results
    return members[0] if len(members) == 1 and isinstance(members[0], GroupResult) else result


def _errbacks_of(body: Signature[Any]) -> list[Any]:
    return [maybe_signature(errback) for request in body_errbacks(body) for errback in request.errbacks or ()]
