"""Call a task's function in its context; the result is an Outcome.

A BaseException that is not an Exception passes through; a worker makes an Outcome of it (``broken_off``). The hooks of
the task's class are called afterwards."""

import os
import threading
import traceback
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from types import CoroutineType, TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from canvas import errors
from canvas.error_traits import without_pages
from canvas.errors import Ignore, Reject, Retry
from canvas.model.outcome import Failure, Ignored, Outcome, Rejected, ReplacedBy, Retried, Success
from canvas.model.request import Request
from canvas.model.workflow_run import WORKFLOWS
from canvas.task.attributes import exception_classes
from canvas.task.task import Task
from canvas.telemetry import emit
from canvas.text import safe_repr

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

T = TypeVar("T")


def execute(
    task: Task[Any], request: Request, args: Any, kwargs: Any,
    watched: Callable[[Callable[[], Any]], Any] | None = None, fault: BaseException | None = None,
) -> Outcome:  # fmt: skip
    """Run ``task``, whose ``request`` the caller has entered. Exceptions such as SystemExit pass through.

    ``watched`` makes the call, if given: time limits count from there. A ``fault`` is raised instead of the call.
    """
    try:
        if fault is not None or type(task).before_start is not Task.before_start:
            _before(task, request, args, kwargs, fault)
        if watched is None:
            value = _call(task, request)(*args, **kwargs)
            if type(value) is CoroutineType:
                value = run_coroutine(value)
        else:
            value = watched(lambda: _value(task, request, args, kwargs))
        if type(value) in _DATA:
            return Success(value)
        if isinstance(value, Retry) or value.__class__ in WORKFLOWS:
            return _returned(task, request, value)
        return Success(value)
    except Exception as exc:  # noqa: BLE001 - every exception of the user's code is an outcome
        return _raised(task, request, exc)


def broken_off(exc: BaseException) -> Failure:
    """The outcome of a task that ended with an exception that is not an Exception, such as its own CancelledError.

    It is the outcome that Celery's prefork pool reports, but no process ends because of SystemExit.
    """
    match exc:
        case SystemExit(code=code):
            status = f"exitcode {code if isinstance(code, int) else int(code is not None)}"
        case KeyboardInterrupt():
            status = "KeyboardInterrupt"
        case _:
            return Failure(exc, traceback_text(exc))
    return Failure(errors.WorkerLostError(f"Worker exited prematurely: {status}."), traceback_text(exc))


async def aexecute(
    task: Task[Any], request: Request, args: Any, kwargs: Any,
    watched: Callable[[Any], Awaitable[Any]] | None = None, fault: BaseException | None = None,
) -> Outcome:  # fmt: skip
    """``execute`` for a task that is a coroutine function, on the running event loop; ``watched`` awaits its
    coroutine."""
    try:
        _before(task, request, args, kwargs, fault)
        coroutine: Any = _call(task, request)(*args, **kwargs)
        return _returned(task, request, await (coroutine if watched is None else watched(coroutine)))
    except Exception as exc:  # noqa: BLE001 - as above
        return _raised(task, request, exc)


def _before(task: Task[Any], request: Request, args: Any, kwargs: Any, fault: BaseException | None) -> None:
    if fault is not None:
        raise fault
    task.before_start(request.id, args, kwargs)


def _returned(task: Task[Any], request: Request, value: Any) -> Outcome:
    """The outcome that a returned value stands for: ``return self.retry(throw=False)`` is a retry, and a workflow takes
    the task's place."""
    if value.__class__ in WORKFLOWS:
        value = task.replace(value)
    return Retried(value, "") if isinstance(value, Retry) and _taken(request, value) else Success(value)


def _taken(request: Request, retry: Retry) -> bool:
    """Whether it is a Retry of ``throw=False``. It becomes the task's outcome, and is not sent in addition."""
    sent = request.retries_sent
    found = retry in sent
    if found:
        sent.remove(retry)
    return found


def _raised(task: Task[Any], request: Request, exc: Exception) -> Outcome:
    """The outcome that an exception of a task stands for."""
    match exc:
        case errors.Replaced():
            return ReplacedBy(exc.sig, exc.workflow)
        case Ignore():
            return Ignored(exc)
        case Reject():
            return Rejected(exc.reason, exc.requeue, exc)
        case Retry(sig=None):
            return Failure(_retry_without_call(exc), traceback_text(exc))
        case Retry():
            _taken(request, exc)
            return Retried(exc, traceback_text(exc))
    return _failed(task, request, exc)


def _retry_without_call(retry: Retry) -> Exception:
    text = f"{retry!r} has no call to send, so the task would not run again: raise self.retry(...) to retry it"
    return errors.InvalidTaskError(text)


def _failed(task: Task[Any], request: Request, exc: Exception) -> Outcome:
    text = traceback_text(exc)
    if task.autoretry_for:
        try:
            retry = task.retry_after(exc)
        except Exception as last:  # noqa: BLE001 - no retry is left, or the call cannot be made again
            return Failure(last, traceback_text(last), isinstance(last, exception_classes(task.throws)))
        if retry is not None:
            _taken(request, retry)
            exc.__traceback__ = _frames_of(exc)
            retry.__context__ = exc
            return Retried(retry, traceback_text(retry))
    return Failure(exc, text, isinstance(exc, exception_classes(task.throws)))


def _call(task: Task[Any], request: Request) -> Callable[..., Any]:
    """The function that the worker calls: ``run``, or the class's own ``__call__`` if it has one."""
    custom = type(task).__call__ is not Task.__call__
    request.entered = not custom
    return task if custom else task.run


def _value(task: Task[Any], request: Request, args: Any, kwargs: Any) -> Any:
    value = _call(task, request)(*args, **kwargs)
    return run_coroutine(value) if isinstance(value, CoroutineType) else value


_DATA = frozenset({type(None), bool, int, float, str, bytes, list, tuple, dict})
"""Types whose values are results, whatever else a task may return."""
_OURS = os.path.dirname(os.path.dirname(__file__)) + os.sep
_loops = threading.local()
_shared_loop: ContextVar["AbstractEventLoop | None"] = ContextVar("canvas_shared_loop", default=None)
"""The loop of a pool that runs coroutines on one loop, for code that runs on another thread."""


@contextmanager
def shared_loop(loop: "AbstractEventLoop | None") -> Iterator[None]:
    """Within, on any other thread than the loop's own, coroutines run on ``loop``, if there is one."""
    token = _shared_loop.set(loop)
    try:
        yield
    finally:
        _shared_loop.reset(token)


def run_coroutine(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run it on the calling thread's own loop. The loop is kept: connections that tasks keep open stay usable."""
    # Imported late: asyncio takes longer to import than the rest of canvas, and most programs have no async tasks.
    import asyncio

    from canvas.execution.cancellation import ThreadCoroutine, driven_elsewhere, on_another_thread

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        shared = _shared_loop.get()
    else:
        return on_another_thread(coroutine)
    if shared is not None:
        return driven_elsewhere(shared, coroutine)
    runner: asyncio.Runner | None = getattr(_loops, "runner", None)
    if runner is None:
        runner = _loops.runner = asyncio.Runner()
    return ThreadCoroutine(runner.get_loop(), coroutine).result()


def close_loop() -> None:
    """End what the calling thread's own loop has left, and close the loop, if the thread has one."""
    runner = getattr(_loops, "runner", None)
    if runner is not None:
        del _loops.runner
        runner.close()


class Hook(NamedTuple):
    """A hook that the class of a task defines, and its call."""

    name: str
    call: Callable[[], None]


def outcome_hook(task: Task[Any], request: Request, args: Any, kwargs: Any, outcome: Outcome) -> Hook | None:
    """``on_success``, ``on_failure`` or ``on_retry``, if the class defines it. It is called before the signals."""
    kind = type(task)
    match outcome:
        case Success(value):
            if kind.on_success is not Task.on_success:
                return Hook("on_success", partial(task.on_success, value, request.id, args, kwargs))
        case Failure(exc):
            if kind.on_failure is not Task.on_failure:
                return Hook("on_failure", partial(task.on_failure, exc, request.id, args, kwargs, outcome.einfo))
        case Retried(retry):
            if kind.on_retry is not Task.on_retry:
                return Hook("on_retry", partial(task.on_retry, retry.exc, request.id, args, kwargs, outcome.einfo))
    return None


def return_hook(task: Task[Any], request: Request, args: Any, kwargs: Any, outcome: Outcome) -> Hook | None:
    """``after_return``, if the class defines it and the task has ended. It is called after the outcome's signal."""
    if type(task).after_return is Task.after_return:
        return None
    match outcome:
        case Success(value):
            return Hook("after_return", partial(task.after_return, "SUCCESS", value, request.id, args, kwargs, None))
        case Failure(exc):
            return Hook("after_return", partial(task.after_return, "FAILURE", exc, request.id, args, kwargs, None))
    return None


def call_hook(hook: Hook, task: Task[Any], request: Request) -> Reject | None:
    """Call a hook in a worker. An exception that the hook raises is reported, and does not change how the task ended.

    A Retry that it raises is sent as well. A Reject is returned: it decides what happens to the message.
    """
    try:
        hook.call()
    except Retry as retry:
        if retry.sig is not None and retry not in request.retries_sent:
            request.retries_sent.append(retry)
    except Reject as reject:
        return reject
    except KeyboardInterrupt:
        raise
    except BaseException as exc:  # noqa: BLE001 - a hook's own failure must not undo how its task ended
        emit("hook.failed", hook=hook.name, task=request.shadow or task.name, task_id=request.id, exc=exc)
    return None


def handling(outcome: Outcome, call: Callable[[], T]) -> T:
    """Call it in an ``except`` clause of the exception that the task has ended with, if any.

    Hooks and receivers of signals read ``sys.exc_info()`` and call ``logging.exception()``, as in Celery.
    """
    match outcome:
        case Failure(exc) | Retried(exc):
            frames, context = exc.__traceback__, exc.__context__
        case _:
            return call()
    try:
        raise exc
    except BaseException:  # noqa: BLE001 - it is the task's exception, which has its outcome
        exc.__traceback__, exc.__context__ = frames, context
        return call()


def _frames_of(exc: BaseException) -> TracebackType | None:
    """The frames of an exception from the task's on."""
    frames = exc.__traceback__
    while frames is not None and frames.tb_next is not None and frames.tb_frame.f_code.co_filename.startswith(_OURS):
        frames = frames.tb_next
    return frames


def traceback_text(exc: BaseException) -> str:
    """The traceback as text, without canvas' own frames above the task's."""
    try:
        return without_pages("".join(traceback.format_exception(type(exc), exc, _frames_of(exc))))
    except Exception as broken:  # noqa: BLE001 - the exception's class is the user's code too
        return f"{safe_repr(exc)}\nIts traceback cannot be shown: {safe_repr(broken)}\n"
