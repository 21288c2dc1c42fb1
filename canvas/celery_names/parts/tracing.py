"""``celery.app.trace``: run one task in this process, as programs with an ``apply`` of their own do."""

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from canvas.context import enter_request, leave_request
from canvas.errors import ConfigurationError
from canvas.execution.eager import EagerRun
from canvas.execution.eager_request import end_of
from canvas.execution.eager_task import EagerApp
from canvas.model import states
from canvas.model.outcome import ExceptionInfo, Failure, Outcome, Retried, Success
from canvas.model.request import Request
from canvas.text import safe_repr
from canvas.version import DOCUMENTATION

if TYPE_CHECKING:
    from canvas.app.application import Canvas


class TraceInfo:
    """How a task has ended that did not return a value."""

    __slots__ = ("retval", "state")

    def __init__(self, state: str, retval: Any = None) -> None:
        """``retval``: the exception."""
        self.state = state
        self.retval = retval


class Traced(NamedTuple):
    """The result of a tracer."""

    retval: Any
    """The task's value, or an ``ExceptionInfo``."""
    info: TraceInfo | None
    """``None`` for a task that returned a value."""
    runtime: float
    """Seconds."""
    retstr: str | None
    """The text of the value, shortened."""


Tracer = Callable[..., Traced]


def build_tracer(
    name: str, task: Any, loader: Any = None, hostname: str | None = None, store_errors: bool = True,
    Info: type[TraceInfo] = TraceInfo, eager: bool = False, propagate: bool = False,
    app: EagerApp | None = None, **_: Any,
) -> Tracer:  # fmt: skip
    """A function that runs ``task`` in this process with a request that it is given: its hooks, callbacks and signals
    are called as by ``apply``.

    ``propagate``: it raises the task's exception. ``loader``, ``store_errors`` and further arguments of Celery's have
    no effect. Raises ConfigurationError without ``eager``: workers run messages in a pipeline of their own.
    """
    if not eager:
        raise ConfigurationError(
            f"build_tracer({name!r}) without eager=True: workers run messages in a pipeline of their own; use signals "
            f"or the hooks of Task; see {DOCUMENTATION}reference/from-celery/"
        )
    here: EagerApp = app or task.app

    def trace_task(uuid: str, args: Any, kwargs: Any, request: Mapping[str, Any] | None = None) -> Traced:
        fields = {"is_eager": True, "hostname": hostname or here.hostname, **(request or {})}
        own = {"id": uuid, "task": name, "args": args, "kwargs": kwargs, "runs": task, "called_directly": False}
        run = Request(None, **{"root_id": uuid, **fields, **own})
        options = {"throw": propagate, "link": run.callbacks, "link_error": run.errbacks}
        began = time.monotonic()
        token = enter_request(run)
        try:
            outcome = EagerRun(here).tasks.perform(task, run, options)
        finally:
            leave_request(token)
        return _traced(outcome, Info, time.monotonic() - began)

    return trace_task


def _traced(outcome: Outcome, info: type[TraceInfo], runtime: float) -> Traced:
    if isinstance(outcome, Success):
        return Traced(outcome.value, None, runtime, safe_repr(outcome.value))
    state, exc, _ = end_of(outcome)
    match outcome:
        case Retried(retry):
            return Traced(outcome.einfo, info(state, retry), runtime, None)
        case Failure():
            return Traced(outcome.einfo, info(state, exc), runtime, None)
    if exc is None:
        return Traced(None, info(state), runtime, None)
    return Traced(ExceptionInfo(exc, ""), info(state, exc), runtime, None)


def trace_task(
    task: Any, uuid: str, args: Any, kwargs: Any, request: Mapping[str, Any] | None = None, **opts: Any
) -> Traced:
    """Run ``task`` by a tracer of ``build_tracer``, which gets ``opts``. An exception of a hook is a failure of the
    task."""
    tracer = build_tracer(task.name, task, **opts)
    try:
        return tracer(uuid, args, kwargs, request)
    except Exception as exc:  # noqa: BLE001 - the caller gets every exception as a failure, as in Celery
        return Traced(Failure(exc).einfo, TraceInfo(states.FAILURE, exc), 0.0, None)


def setup_worker_optimizations(app: "Canvas", hostname: str | None = None) -> None:
    """Make ``app`` the current and the default app, and register its tasks. ``hostname`` has no effect."""
    app.set_current()
    app.set_default()
    app.finalize()


def reset_worker_optimizations(app: "Canvas | None" = None) -> None:
    """Nothing: it undoes the patches of Celery's workers to ``Task``, and canvas patches no class."""
