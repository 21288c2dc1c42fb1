"""The tasks that every worker has, under Celery's names (semantics.md M1–M5)."""

from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from inspect import isasyncgenfunction, iscoroutinefunction
from typing import TYPE_CHECKING, Any, Protocol

from canvas.context import RetriedCall, current_request, retried_call
from canvas.errors import Retry, TaskPredicate
from canvas.model.workflow_run import BATCH, CANCEL, CANCEL_NODES, RESUME_RUN, RUN_OUTCOME, RUN_WORKFLOW, WAKE
from canvas.primitives.mapping import YIELDED_PAGE, chunks
from canvas.primitives.ports import SignatureApp
from canvas.primitives.registry import maybe_signature
from canvas.task.task import Task

if TYPE_CHECKING:
    from canvas.model.message import Message

MAPS = ("celery.map", "celery.starmap", BATCH)
_CALLERS = (*MAPS, YIELDED_PAGE)
CLEANUPS = ("celery.backend_cleanup", "canvas.backend_cleanup")


class TaskApp(SignatureApp, Protocol):
    """The parts of an app that the built-in tasks need."""

    @property
    def tasks(self) -> Mapping[str, Task[Any]]: ...


class Decorator(Protocol):
    """``app.task``."""

    registry: Any
    Task: Any

    def task(self, *args: Any, **options: Any) -> Any: ...


def accumulate(self: Task[Any], *args: Any, **kwargs: Any) -> Any:
    """Give back the arguments, or with ``index`` the one at that place."""
    index = kwargs.get("index")
    return args[index] if index is not None else args


def xmap(self: Task[Any], task: Any, it: Any) -> Any:
    """``[task(item) for item in it]``; of a coroutine task, a coroutine that gives it."""
    function = _mapped(self.app, task)
    if iscoroutinefunction(function.run):
        return _await_each(function(item) for item in it)
    return [function(item) for item in it]


def xstarmap(self: Task[Any], task: Any, it: Any) -> Any:
    """``[task(*item) for item in it]``; of a coroutine task, a coroutine that gives it."""
    function = _mapped(self.app, task)
    if iscoroutinefunction(function.run):
        return _await_each(function(*item) for item in it)
    return [function(*item) for item in it]


def run_batch(self: Task[Any], task: Any, it: Any) -> Any:
    """``[task(item, *args, **kwargs) for item in it]`` with the arguments of ``task``; of a coroutine task, a coroutine
    that gives it. It is retried as a whole where ``task`` has ``autoretry_for`` or calls ``self.retry``."""
    sig = maybe_signature(task, self.app)
    function = self.app.tasks[sig.task]
    if iscoroutinefunction(function.run):
        return _await_retried(self, function, _await_each(function(item, *sig.args, **sig.kwargs) for item in it))
    with _retried_as(self, function) as call:
        return call.returned([function(item, *sig.args, **sig.kwargs) for item in it])


async def _await_retried(caller: Task[Any], function: Task[Any], coroutine: Coroutine[Any, Any, Any]) -> Any:
    with _retried_as(caller, function) as call:
        return call.returned(await coroutine)


@contextmanager
def _retried_as(caller: Task[Any], function: Task[Any]) -> Iterator[RetriedCall]:
    """Raise Retry, with the call of ``caller``, if the task that it calls as a function here is to be retried. After a
    ``retry(throw=False)`` the call is sent again, and its end is what it is."""
    call = RetriedCall(function.name)
    token = retried_call.set(call)
    try:
        yield call
    except Retry as exc:
        if exc.asked is None:
            raise
        caller.retry(**exc.asked)
    except TaskPredicate:
        raise
    except Exception as exc:
        retry = function.retry_after(exc, caller)
        if retry is not None:
            raise retry from exc
        _send_again(caller, call)
        raise
    else:
        _send_again(caller, call)
    finally:
        retried_call.reset(token)


def _send_again(caller: Task[Any], call: RetriedCall) -> None:
    """Send the call of ``caller`` again, once, if ``call`` has asked for that."""
    for asked in call.asked[:1]:
        caller.retry(throw=False, **asked.asked)


def _mapped(app: TaskApp, task: Any) -> Any:
    """The app's task that a map calls. Raises NotRegistered."""
    return app.tasks[maybe_signature(task, app).task]


async def _await_each(calls: Iterable[Coroutine[Any, Any, Any]]) -> list[Any]:
    return [await call for call in calls]


def maps_coroutine(app: TaskApp, message: "Message") -> bool:
    """Whether a message calls a map of a coroutine task, or asks for a page of an asynchronous generator, that is
    registered in ``app``."""
    if message.task not in _CALLERS:
        return False
    mapped = message.kwargs.get("task")
    task = app.tasks.get(str(mapped.get("task"))) if isinstance(mapped, Mapping) else None
    return task is not None and (iscoroutinefunction(task.run) or isasyncgenfunction(task.run))


def spread_chunks(self: Task[Any], task: Any, it: Any, n: int) -> Any:
    """Send the chunks as a group, or run them if this runs eagerly; the value is the group's result in tuple form."""
    pieces = chunks(maybe_signature(task, self.app), it, n, app=self.app)
    request = current_request()
    return pieces.apply() if request is not None and request.is_eager else pieces()


def unlock_chord(
    self: Task[Any], group_id: str, callback: Any, interval: float | None = None, max_retries: int | None = None,
    result: Any = (), **_: Any,
) -> None:  # fmt: skip
    """End a chord when its header is ready, in a result backend where no parts are counted."""
    from canvas.workflows.steps.chord_unlock import unlock

    unlock(self.app, self, group_id, callback, result, interval, max_retries)


def backend_cleanup(self: Task[Any]) -> None:
    """Delete expired results, in a store that does not do so automatically."""
    self.backend.cleanup()


def cancel_run(self: Task[Any], run: str, attempt: int) -> str:
    """Cancel a workflow's run whose timeout has passed."""
    from canvas.workflows.run import end_overdue

    return end_overdue(self.app, run, attempt)


def wake(self: Task[Any], due: float | None) -> float | None:
    """The message of a node's timer, which was due at this unix time; ``None``: it only keeps the run."""
    return due


def cancel_nodes(self: Task[Any], run: str, attempt: int, numbers: list[int]) -> None:
    """Cancel nodes of a run whose results are not needed any more."""
    from canvas.workflows.cancelling import cancel_nodes as cancel
    from canvas.workflows.run import Run

    cancel(self.app, run, attempt, numbers, partial(Run.find, self.app))


def run_outcome(self: Task[Any], run: str) -> Any:
    """End as a run has ended that stands in this task's place."""
    from canvas.workflows.progress.outcome import outcome_of

    return outcome_of(self.app, run)


def resume_run(
    self: Task[Any], run: str, outcome: dict[str, Any], from_node: str | None = None, attempt: int | None = None
) -> None:
    """Resume the run in a node's place, and send ``outcome``, a signature, when it ends. With ``from_node`` it runs
    again from there, unless it has begun an attempt after ``attempt``."""
    from canvas.workflows.run import resume_in_place

    resume_in_place(self.app, run, outcome, from_node, attempt)


def yielded_page(self: Task[Any], cursor: Any, task: Any) -> Any:
    """A page that the generator ``task`` yields: with ``None`` for ``cursor`` it runs, and the page is the first one.
    Of an asynchronous generator, a coroutine that gives it. The generator runs again from its start where ``task`` has
    ``autoretry_for`` or calls ``self.retry``."""
    from canvas.workflows.steps import yielded_pages

    sig = maybe_signature(task, self.app)
    function = self.app.tasks[sig.task]
    if isasyncgenfunction(function.run):
        if cursor is not None:
            return yielded_pages.akept_page(self.app, cursor)
        first = yielded_pages.afirst_page(self.app, function(*sig.args, **sig.kwargs))
        return _await_retried(self, function, first)
    if cursor is not None:
        return yielded_pages.kept_page(self.app, cursor)
    with _retried_as(self, function):
        return yielded_pages.first_page(self.app, function(*sig.args, **sig.kwargs))


def run_workflow(self: Task[Any], value: Any, name: str, inputs: dict[str, Any]) -> Any:
    """The workflow of the node that this task is an item of, with ``value`` as its input ``name``."""
    from canvas.workflows.steps.child_runs import InnerWorkflow

    return InnerWorkflow({**inputs, name: value})


_OPTIONS: dict[str, Any] = {"shared": False, "lazy": False, "bind": True}
_UNLIMITED = {"max_retries": None}
_CALLERS_AND_CELERYS: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "celery.accumulate": (accumulate, {}), "celery.map": (xmap, {}), "celery.starmap": (xstarmap, {}),
    "celery.chunks": (spread_chunks, {}), "celery.chord_unlock": (unlock_chord, {**_UNLIMITED, "ignore_result": True}),
    BATCH: (run_batch, _UNLIMITED), YIELDED_PAGE: (yielded_page, _UNLIMITED),
    **{name: (backend_cleanup, {}) for name in CLEANUPS},
}  # fmt: skip
"""The built-in tasks of Celery, and the tasks that call a program's tasks: their functions and options."""


def register(app: Decorator) -> None:
    """Give ``app`` the built-in tasks."""
    for name, (function, options) in _CALLERS_AND_CELERYS.items():
        app.task(name=name, base=Task, **_OPTIONS, **options)(function)
    app.task(name=CANCEL, base=Task, **_OPTIONS)(cancel_run)
    app.task(name=WAKE, base=Task, **_OPTIONS)(wake)
    app.task(name=CANCEL_NODES, base=Task, **_OPTIONS)(cancel_nodes)
    app.task(name=RUN_OUTCOME, base=Task, **_OPTIONS)(run_outcome)
    app.task(name=RESUME_RUN, base=Task, **_OPTIONS)(resume_run)
    app.task(name=RUN_WORKFLOW, base=Task, **_OPTIONS)(run_workflow)


def take_base(app: Decorator) -> None:
    """Make Celery's built-in tasks, and the tasks that call a program's tasks, again with the app's own base class of
    tasks, as Celery does: receivers of signals expect this class of each task."""
    for name, (function, options) in _CALLERS_AND_CELERYS.items() if app.Task is not Task else ():
        if getattr(app.registry.get(name), "__wrapped__", None) is function:
            del app.registry[name]
            app.task(name=name, base=app.Task, **_OPTIONS, **options)(function)
