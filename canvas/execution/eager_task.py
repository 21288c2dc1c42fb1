"""One task of a workflow that runs in this process: its request, its callbacks, its hooks and signals, its result."""

import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from canvas.context import enter_request, leave_request
from canvas.errors import EncodeError, OperationalError
from canvas.execution.eager_arguments import as_received
from canvas.execution.eager_request import Options, eager_request, end_of, is_stored
from canvas.execution.errbacks import call_errback, is_new_style
from canvas.execution.executor import execute, handling, outcome_hook, return_hook, traceback_text
from canvas.model import states
from canvas.model.message import Message
from canvas.model.outcome import Failure, Outcome, Rejected, ReplacedBy, Retried, Success
from canvas.model.request import Request
from canvas.primitives.fields import as_list
from canvas.primitives.mapping import chunks
from canvas.primitives.ports import SignatureApp
from canvas.primitives.registry import maybe_signature
from canvas.primitives.signature import Signature
from canvas.producer.sender import Sender
from canvas.result import EagerResult
from canvas.result.backend import Backend
from canvas.result.bases import ResultApp
from canvas.task.pydantic_models import Models
from canvas.task.task import APPLY, Task
from canvas.telemetry import emit

Run = Callable[[Signature[Any], tuple[Any, ...], Options, Options], Any]
"""Runs a signature with these arguments, keyword arguments and options, and returns its result."""


class EagerApp(SignatureApp, ResultApp, Protocol):
    """The parts of an app that running in this process needs."""

    @property
    def tasks(self) -> Mapping[str, Task[Any]]: ...

    @property
    def backend(self) -> Backend: ...

    @property
    def sender(self) -> Sender: ...

    @property
    def hostname(self) -> str: ...

    def models_of(self, name: str) -> Models | None: ...

    def new_id(self) -> str: ...


def is_elsewhere(app: EagerApp, sig: Signature[Any]) -> bool:
    """Whether ``sig`` calls one task, and that task is not registered in this process."""
    return sig.subtask_type is None and sig.own_type is None and sig.task not in app.tasks


def is_composite(sig: Signature[Any]) -> bool:
    """Whether ``sig`` stands for several calls, rather than for one, as a task and a map do."""
    return isinstance(sig, chunks) or sig.subtask_type in ("chain", "group", "chord")


def send(app: EagerApp, sig: Signature[Any], args: tuple[Any, ...], kwargs: Options, options: Options) -> Any:
    """Send ``sig`` to a worker that knows its task."""
    return app.sender.send(sig, app.sender.plan(sig, args, kwargs, options), options)


def _applies_itself(task: Task[Any]) -> bool:
    return type(task).apply is not APPLY or "apply" in task.__dict__


class EagerTasks:
    """Runs single tasks in this process."""

    def __init__(self, app: EagerApp, run: Run) -> None:
        """``run`` runs the callbacks and errbacks of the tasks, which may be composites."""
        self._app = app
        self._run = run

    def run(self, sig: Signature[Any], args: tuple[Any, ...], kwargs: Options, options: Options) -> EagerResult:
        """The result of the task. Its own ``apply``, if it has one, makes it."""
        task = sig.own_type or self._app.tasks[sig.task]
        if not _applies_itself(task):
            return self.call(sig, args, kwargs, options)
        args, kwargs, merged = sig.merged_with(args, kwargs, options)
        return task.apply(args, kwargs, **merged)

    def call(
        self, sig: Signature[Any], args: tuple[Any, ...], kwargs: Options, options: Options, sent: bool = False
    ) -> EagerResult:
        """The result of the task. ``sent``: the call comes from ``apply_async``, so the task's own options count."""
        app = self._app
        args, kwargs, merged = sig.merged_with(args, kwargs, options)
        task = sig.own_type or app.tasks[sig.task]
        if sent:
            task.check_typing(args, kwargs)
            merged = {**task.attribute_options(), **merged}
            about = task.name, merged.setdefault("task_id", app.new_id())
            serializer = merged.get("serializer") or app.conf.task_serializer
            args, kwargs = as_received(app.models_of, about, args, kwargs, serializer)
            if _applies_itself(task):
                return task.apply(args, kwargs, **merged)
        request = eager_request(app.hostname, task, args, kwargs, merged)
        token = enter_request(request)
        try:
            outcome = self.perform(task, request, merged)
        finally:
            leave_request(token)
        if isinstance(outcome, Retried) and outcome.retry.sig is not None:
            again = {"retries": request.retries + 1, "task_id": request.id, "link": merged.get("link")}
            return self.run(outcome.retry.sig.clone(), (), {}, {**again, "link_error": merged.get("link_error")})
        state, value, text = end_of(outcome)
        return EagerResult(request.id, value, state, traceback=text, name=task.name)

    def perform(self, task: Any, request: Request, options: Options) -> Outcome:
        """Run the task with its callbacks, hooks and signals, in Celery's order.

        Raises the exceptions of hooks, and with ``throw`` that of the task.
        """
        args, kwargs, hostname = request.args, request.kwargs, self._app.hostname
        about = {"message": Message(task.name, request.id, args, kwargs), "hostname": hostname, "task": task}
        emit("eager.started", **about)
        began = time.perf_counter()
        over: Outcome | None = None
        try:
            outcome = self._thrown(self._replaced(execute(task, request, args, kwargs)), options)
            outcome = self._followed(task, request, options, outcome)
            over = outcome if isinstance(outcome, Success) else None
            if (hook := outcome_hook(task, request, args, kwargs, outcome)) is not None:
                handling(outcome, hook.call)
            over = outcome
            facts = {**about, "request": request, "outcome": outcome, "runtime": time.perf_counter() - began}
            handling(outcome, lambda: emit("eager.finished", **facts))
            if (hook := return_hook(task, request, args, kwargs, outcome)) is not None:
                hook.call()
            return outcome
        finally:
            emit("eager.over", **about, request=request, outcome=over, runtime=time.perf_counter() - began)

    def _replaced(self, outcome: Outcome) -> Outcome:
        """The outcome. A task that replaced itself has the value or the exception of its replacement."""
        if not isinstance(outcome, ReplacedBy):
            return outcome
        text = None
        try:
            result = (outcome.sig if outcome.workflow is None else outcome.workflow).apply()
            text = getattr(result, "traceback", None)
            return Success(result.get())
        except Exception as exc:  # noqa: BLE001 - every exception of the user's code is an outcome
            return Failure(exc, text or traceback_text(exc))

    def _thrown(self, outcome: Outcome, options: Options) -> Outcome:
        """The outcome. Raises its exception if the ``throw`` option, or ``task_eager_propagates``, is true."""
        if options.get("throw", self._app.conf.task_eager_propagates):
            if isinstance(outcome, Failure):
                raise outcome.exc
            if isinstance(outcome, Retried):
                raise outcome.retry
        return outcome

    def _followed(self, task: Any, request: Request, options: Options, outcome: Outcome) -> Outcome:
        """The task's final outcome, after its callbacks have run and its result is stored."""
        if isinstance(outcome, Success):
            try:
                callbacks = as_list(options.get("link"))
                for callback in callbacks:
                    self._run_callback(maybe_signature(callback, self._app), outcome.value, len(callbacks) == 1)
                self._store(task, request, outcome)
            except (EncodeError, OperationalError) as exc:
                outcome = self._thrown(Failure(exc, traceback_text(exc)), options)
        state, value, text = end_of(outcome)
        if not isinstance(outcome, Success):
            self._store(task, request, outcome)
        if state == states.FAILURE or isinstance(outcome, Rejected):
            self.run_errbacks(as_list(options.get("link_error")), request, value, text)
        return outcome

    def _store(self, task: Any, request: Request, outcome: Outcome) -> None:
        """Store the result, if ``task_store_eager_result`` is true. Raises EncodeError if it cannot be written."""
        state, value, text = end_of(outcome)
        if is_stored(self._app.conf.task_store_eager_result, task, request, state):
            self._app.backend.store_result(request.id, value, state, traceback=text, request=request)

    def store_unrun(self, sig: Signature[Any], result: EagerResult) -> None:
        """Store the failure of a task that does not run, whether it ignores its result or not, as a worker does."""
        task = sig.own_type or self._app.tasks.get(sig.task)
        if self._app.conf.task_store_eager_result or (task is not None and task.store_eager_result):
            self._app.backend.store_result(result.id, result.result, result.state, traceback=result.traceback)

    def _run_callback(self, sig: Signature[Any], value: Any, alone: bool) -> None:
        """Run a callback here, or send it if its task is not registered here. ``alone``: it is the task's only one."""
        if is_elsewhere(self._app, sig):
            send(self._app, sig, (value,), {}, {})
        elif alone and self._app.conf.task_always_eager and not is_composite(sig):
            task = sig.own_type or self._app.tasks[sig.task]
            if task.sends_itself:
                sig.apply_async((value,))
            else:
                self.call(sig, (value,), {}, {}, sent=True)
        else:
            self._run(sig, (value,), {}, {})

    def run_errbacks(self, errbacks: list[Any], request: Request, exc: Any, text: str | None) -> None:
        """Call the errbacks of a failed request, or send those whose task is not registered here."""
        for errback in errbacks:
            sig = maybe_signature(errback, self._app)
            if is_new_style(self._app, sig):
                call_errback(self._app, sig, request, exc, text)
            elif is_elsewhere(self._app, sig):
                send(self._app, sig, (request.id,), {}, {})
            else:
                self._run(sig, (request.id,), {}, {"throw": False})
