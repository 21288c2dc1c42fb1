"""Call a task's function in its context; what that comes to is an Outcome. What is no Exception passes through, and a
worker makes an Outcome of that too (``broken_off``)."""

import os
import threading
import traceback
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import copy_context
from types import CoroutineType
from typing import Any

from canvas import errors
from canvas.errors import Ignore, Reject, Retry
from canvas.model.current import enter_request, leave_request
from canvas.model.outcome import Failure, Ignored, Outcome, Rejected, Replaced, Retried, Success
from canvas.model.request import Request
from canvas.model.shortrepr import safe_repr
from canvas.task import Task


def execute(
    task: Task[Any], request: Request, args: Any, kwargs: Any,
    watched: Callable[[Callable[[], Any]], Any] | None = None, fault: BaseException | None = None,
) -> Outcome:  # fmt: skip
    """Run ``task`` and its hooks; what is no Exception, such as SystemExit, passes through.

    ``watched``, where given, makes the call itself: that is where time limits count. A ``fault`` is raised instead.
    """
    token = enter_request(request)
    try:
        try:
            _before(task, request, args, kwargs, fault)
            if watched is None:
                outcome = _returned(request, _value(task, request, args, kwargs))
            else:
                outcome = _returned(request, watched(lambda: _value(task, request, args, kwargs)))
        except Exception as exc:  # noqa: BLE001 - every exception of the user's code is an outcome
            outcome = _raised(task, request, exc)
        return _hooks(task, request, args, kwargs, outcome)
    finally:
        leave_request(token)


def broken_off(exc: BaseException) -> Failure:
    """What a task has come to in a worker that ended in what nothing else takes, such as a CancelledError of its own.

    As Celery's prefork pool tells it, though here no process ends for SystemExit.
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
    token = enter_request(request)
    try:
        try:
            _before(task, request, args, kwargs, fault)
            coroutine: Any = _call(task, request)(*args, **kwargs)
            outcome = _returned(request, await (coroutine if watched is None else watched(coroutine)))
        except Exception as exc:  # noqa: BLE001 - as above
            outcome = _raised(task, request, exc)
        return _hooks(task, request, args, kwargs, outcome)
    finally:
        leave_request(token)


def _before(task: Task[Any], request: Request, args: Any, kwargs: Any, fault: BaseException | None) -> None:
    if fault is not None:
        raise fault
    if type(task).before_start is not Task.before_start:
        task.before_start(request.id, args, kwargs)


def _returned(request: Request, value: Any) -> Outcome:
    """What a value of a task means: ``return self.retry(throw=False)`` is a retry."""
    return Retried(value, "") if isinstance(value, Retry) and _taken(request, value) else Success(value)


def _taken(request: Request, retry: Retry) -> bool:
    """Whether it is one that was not thrown; it is the task's end now, and not sent beside that."""
    sent = request.retries_sent
    found = retry in sent
    if found:
        sent.remove(retry)
    return found


def _raised(task: Task[Any], request: Request, exc: Exception) -> Outcome:
    """What an exception of a task means."""
    match exc:
        case errors.Replaced():
            return Replaced(exc.sig)
        case Ignore():
            return Ignored()
        case Reject():
            return Rejected(exc.reason, exc.requeue)
        case Retry():
            _taken(request, exc)
            return Retried(exc, traceback_text(exc))
    return _failed(task, request, exc)


def _failed(task: Task[Any], request: Request, exc: Exception) -> Outcome:
    text = traceback_text(exc)
    if task.autoretry_for:
        try:
            retry = task.autoretry(exc)
        except Exception as last:  # noqa: BLE001 - no retry is left, or the call cannot be made again
            return Failure(last, traceback_text(last), isinstance(last, tuple(task.throws)))
        if retry is not None:
            _taken(request, retry)
            return Retried(retry, text)
    return Failure(exc, text, isinstance(exc, tuple(task.throws)))


def _call(task: Task[Any], request: Request) -> Callable[..., Any]:
    """What the worker calls: the work alone, which has its request already, unless the class makes more of a call."""
    custom = type(task).__call__ is not Task.__call__
    request.entered = not custom
    return task if custom else task.run


def _value(task: Task[Any], request: Request, args: Any, kwargs: Any) -> Any:
    value = _call(task, request)(*args, **kwargs)
    return _run_coroutine(value) if isinstance(value, CoroutineType) else value


_OURS = os.path.dirname(__file__) + os.sep
_loops = threading.local()


def _run_coroutine(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """On the calling thread's own loop, which stays for its next coroutine: what tasks keep open on it stays usable."""
    # asyncio takes longer to import than the rest of canvas, and most programs have no async tasks.
    import asyncio

    from canvas.interruptible import Driven

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        pass
    else:
        return _on_another_thread(coroutine)
    runner: asyncio.Runner | None = getattr(_loops, "runner", None)
    if runner is None:
        runner = _loops.runner = asyncio.Runner()
    return Driven(runner.get_loop(), coroutine).result()


def _on_another_thread(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """This thread's loop is running already: it called a task as a function."""
    import asyncio
    from concurrent.futures import ThreadPoolExecutor

    context = copy_context()
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(context.run, asyncio.run, coroutine).result()


def _hooks(task: Task[Any], request: Request, args: Any, kwargs: Any, outcome: Outcome) -> Outcome:
    """What a task has come to, its hooks called; one that raises makes it a failure, as in Celery."""
    kind = type(task)
    if type(outcome) is Success and kind.on_success is Task.on_success and kind.after_return is Task.after_return:
        return outcome
    return _call_hooks(task, request, args, kwargs, outcome)


def _call_hooks(task: Task[Any], request: Request, args: Any, kwargs: Any, outcome: Outcome) -> Outcome:
    match outcome:
        case Success(value):
            return _hook(
                outcome,
                lambda: task.on_success(value, request.id, args, kwargs),
                lambda: task.after_return("SUCCESS", value, request.id, args, kwargs, None),
            )
        case Failure(exc):
            einfo = outcome.einfo
            return _hook(
                outcome,
                lambda: task.on_failure(exc, request.id, args, kwargs, einfo),
                lambda: task.after_return("FAILURE", exc, request.id, args, kwargs, einfo),
            )
        case Retried(retry):
            reason, einfo = retry.exc or retry, outcome.einfo
            return _hook(
                outcome,
                lambda: task.on_retry(reason, request.id, args, kwargs, einfo),
                lambda: task.after_return("RETRY", retry, request.id, args, kwargs, einfo),
            )
    return outcome


def _hook(outcome: Outcome, *calls: Callable[[], None]) -> Outcome:
    try:
        for call in calls:
            call()
    except Exception as exc:  # noqa: BLE001 - hooks are the user's code too
        return Failure(exc, traceback_text(exc))
    return outcome


def traceback_text(exc: BaseException) -> str:
    """The traceback as text, without canvas' own frames above the task's."""
    frames = exc.__traceback__
    while frames is not None and frames.tb_next is not None and frames.tb_frame.f_code.co_filename.startswith(_OURS):
        frames = frames.tb_next
    try:
        return "".join(traceback.format_exception(type(exc), exc, frames))
    except Exception as broken:  # noqa: BLE001 - the exception's class is the user's code too
        return f"{safe_repr(exc)}\nIts traceback cannot be shown: {safe_repr(broken)}\n"
