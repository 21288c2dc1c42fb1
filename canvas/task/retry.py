"""Running a task again: ``retry()``, ``autoretry_for``, and the delay between the runs."""

import inspect
import random
import sys
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn, Protocol

from canvas.context import retried_call
from canvas.errors import Retry
from canvas.model.request import Request, options_again
from canvas.primitives.signature import Signature
from canvas.task.arguments import merged_arguments
from canvas.wire.moments import Clock, due


class RetriedTask(Protocol):
    """The parts of a task that running it again needs."""

    name: str
    max_retries: int | None
    default_retry_delay: float
    retry_kwargs: dict[str, Any]
    retry_backoff: bool | float
    retry_backoff_max: float
    retry_jitter: bool
    MaxRetriesExceededError: Any

    @property
    def app(self) -> Clock: ...

    @property
    def request(self) -> Request: ...

    @property
    def call_parameters(self) -> Mapping[str, inspect.Parameter] | None: ...

    def signature(self, args: Iterable[Any] | None = None, *more: Any, **options: Any) -> Signature[Any]: ...

    def signature_from_request(
        self, request: Any = None, args: Iterable[Any] | None = None, kwargs: Mapping[str, Any] | None = None,
        queue: Any = None, **options: Any,
    ) -> Signature[Any]: ...  # fmt: skip

    def retry(self, *args: Any, **kwargs: Any) -> Retry: ...


def retry(
    task: RetriedTask,
    args: Iterable[Any] | None,
    kwargs: Mapping[str, Any] | None,
    exc: BaseException | type[BaseException] | str | None,
    throw: bool,
    eta: Any,
    countdown: float | None,
    max_retries: int | None,
    options: Mapping[str, Any],
) -> Retry:
    """``Task.retry``."""
    request, cause = task.request, _as_exception(exc)
    if max_retries is not None:
        request.retry_limit = max_retries
    limit = task.max_retries if max_retries is None else max_retries
    if request.called_directly:
        call = retried_call.get()
        if call is not None and call.name == task.name:
            asked = _asked_of_caller(task, args, kwargs, exc, eta, countdown, max_retries, options)
            if throw:
                raise asked
            call.asked.append(asked)
            return asked
        _raise_from_current(cause or exc or Retry("Task can be retried", None))
    if not eta and countdown is None:
        countdown = task.default_retry_delay
    args, kwargs = merged_arguments(task.call_parameters, (request.args, request.kwargs), args, kwargs)
    if limit is not None and request.retries + 1 > limit:
        _give_up(task, cause or exc, args, kwargs)
    again = {**options, "countdown": countdown, "eta": eta, "retries": request.retries + 1}
    sig = task.signature_from_request(None, args, kwargs, **again)
    due(sig.options, task.app)  # raises for a time that cannot be read
    retry = Retry(exc=exc if isinstance(exc, str) else cause, when=eta or countdown, sig=sig)
    retry.is_eager = request.is_eager
    if throw:
        raise retry from cause
    request.retries_sent.append(retry)
    return retry


def _asked_of_caller(
    task: RetriedTask, args: Any, kwargs: Any, exc: Any, eta: Any, countdown: float | None, max_retries: int | None,
    options: Mapping[str, Any],
) -> Retry:  # fmt: skip
    """The Retry that asks the task which has called this one as a function to run its own call again. Raises
    TypeError."""
    if args is not None or kwargs is not None:
        raise TypeError(
            f"{task.name}: retry() inside a batch, or of a generator of pages, runs the whole call again: it takes no "
            "args and no kwargs"
        )
    if not eta and countdown is None:
        countdown = task.default_retry_delay
    limit = task.max_retries if max_retries is None else max_retries
    retry = Retry(exc=exc if isinstance(exc, str) else _as_exception(exc), when=eta or countdown)
    retry.asked = {**options, "exc": exc, "eta": eta, "countdown": countdown, "max_retries": limit}
    return retry


def autoretry(task: RetriedTask, exc: BaseException, caller: RetriedTask | None = None) -> Retry:
    """The Retry to raise instead of ``exc``, which the task's ``autoretry_for`` names. ``caller``: the task that has
    called it as a function, and whose own call runs again."""
    again, options = caller or task, dict(task.retry_kwargs)
    if caller is not None:
        options = {"countdown": task.default_retry_delay, "max_retries": task.max_retries, **options}
    if task.retry_backoff:
        factor = max(1, int(task.retry_backoff))
        options["countdown"] = retry_delay(factor, again.request.retries, task.retry_backoff_max, task.retry_jitter)
    if again.request.retry_limit is not None:
        options["max_retries"] = again.request.retry_limit
    return again.retry(exc=exc, throw=False, **options)


def signature_again(
    task: RetriedTask, args: Iterable[Any] | None, kwargs: Mapping[str, Any] | None, options: Mapping[str, Any],
    request: Request | None = None,
) -> Signature[Any]:  # fmt: skip
    """``Task.signature_from_request``."""
    request = task.request if request is None else request
    place = options_again(request)
    options = {key: value for key, value in options.items() if value is not None}
    if "queue" in options:
        place = {key: value for key, value in place.items() if key not in ("exchange", "routing_key")}
    options = {**place, **options}
    return task.signature(
        request.args if args is None else args, request.kwargs if kwargs is None else kwargs, **options
    )


def retry_delay(factor: float, retries: int, maximum: float, jitter: bool) -> int:
    """Whole seconds: ``factor`` doubled for each retry so far, at most ``maximum``.

    With ``jitter``, any number of seconds up to that.
    """
    delay = int(min(maximum, factor * 2**retries))
    return random.randrange(delay + 1) if jitter else max(0, delay)


def _as_exception(exc: BaseException | type[BaseException] | str | None) -> BaseException | None:
    """The exception that a caller of ``retry`` gave as its reason, or None for a reason in words."""
    if isinstance(exc, type):
        return exc()
    return exc if isinstance(exc, BaseException) else None


def _give_up(task: RetriedTask, exc: Any, args: Any, kwargs: Any) -> NoReturn:
    if exc:
        _raise_from_current(exc)
    raise task.MaxRetriesExceededError(
        f"Can't retry {task.name}[{task.request.id}] args:{args} kwargs:{kwargs}", task_args=args, task_kwargs=kwargs
    )


def _raise_from_current(exc: Any) -> NoReturn:
    """Raise ``exc``, with the exception that is being handled as its cause. A text raises TypeError, as in Celery."""
    current = sys.exc_info()[1]
    if current is None or current is exc:
        raise exc
    raise exc from current
