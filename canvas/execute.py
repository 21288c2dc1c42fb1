"""Call a task's function in its context; whatever happens becomes an Outcome. Nothing escapes but the end of
the process."""

import inspect
import traceback
from collections.abc import Callable, Coroutine
from typing import Any

from canvas import errors
from canvas.errors import Ignore, Reject, Retry
from canvas.model.current import enter_request, leave_request
from canvas.model.outcome import Failure, Ignored, Outcome, Rejected, Replaced, Retried, Success
from canvas.model.request import Request
from canvas.task import Task


def execute(
    task: Task[Any], request: Request, args: Any, kwargs: Any, watched: Callable[[Callable[[], Any]], Any] | None = None
) -> Outcome:
    """Run ``task`` and its hooks; KeyboardInterrupt and SystemExit pass through.

    ``watched``, where given, makes the call itself: that is where time limits count.
    """
    token = enter_request(request)
    try:
        outcome = _call(task, request, args, kwargs, watched)
        return _hooks(task, request, args, kwargs, outcome)
    finally:
        leave_request(token)


def _call(task: Task[Any], request: Request, args: Any, kwargs: Any, watched: Any) -> Outcome:
    try:
        if type(task).before_start is not Task.before_start:
            task.before_start(request.id, args, kwargs)
        if watched is None:
            return Success(_value(task, args, kwargs))
        return Success(watched(lambda: _value(task, args, kwargs)))
    except errors.Replaced as exc:
        return Replaced(exc.sig)
    except Ignore:
        return Ignored()
    except Reject as exc:
        return Rejected(exc.reason, exc.requeue)
    except Retry as exc:
        return Retried(exc, traceback_text(exc))
    except Exception as exc:  # noqa: BLE001 - every exception of the user's code is an outcome
        return _raised(task, exc)


def _raised(task: Task[Any], exc: Exception) -> Outcome:
    text = traceback_text(exc)
    if task.autoretry_for:
        try:
            retry = task.autoretry(exc)
        except Exception as last:  # noqa: BLE001 - no retry is left, or the call cannot be made again
            return Failure(last, traceback_text(last), isinstance(last, tuple(task.throws)))
        if retry is not None:
            return Retried(retry, text)
    return Failure(exc, text, isinstance(exc, tuple(task.throws)))


def _value(task: Task[Any], args: Any, kwargs: Any) -> Any:
    value = task(*args, **kwargs)
    return _run_coroutine(value) if inspect.iscoroutine(value) else value


def _run_coroutine(coroutine: Coroutine[Any, Any, Any]) -> Any:
    # asyncio takes longer to import than the rest of canvas, and most programs have no async tasks.
    import asyncio

    return asyncio.run(coroutine)


def _hooks(task: Task[Any], request: Request, args: Any, kwargs: Any, outcome: Outcome) -> Outcome:
    """Call the task's hooks; one that raises makes the outcome a failure, as in Celery."""
    kind = type(task)
    match outcome:
        case Success(value):
            if kind.on_success is Task.on_success and kind.after_return is Task.after_return:
                return outcome
            return _hook(
                outcome,
                lambda: task.on_success(value, request.id, args, kwargs),
                lambda: task.after_return("SUCCESS", value, request.id, args, kwargs, None),
            )
        case Failure(exc, text):
            return _hook(
                outcome,
                lambda: task.on_failure(exc, request.id, args, kwargs, text),
                lambda: task.after_return("FAILURE", exc, request.id, args, kwargs, text),
            )
        case Retried(retry, text):
            reason = retry.exc or retry
            return _hook(
                outcome,
                lambda: task.on_retry(reason, request.id, args, kwargs, text),
                lambda: task.after_return("RETRY", retry, request.id, args, kwargs, text),
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
    while frames is not None and frames.tb_frame.f_code.co_filename == __file__ and frames.tb_next is not None:
        frames = frames.tb_next
    return "".join(traceback.format_exception(type(exc), exc, frames))
