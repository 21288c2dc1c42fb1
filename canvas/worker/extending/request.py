"""Requests with hooks of their own: ``Task.Request``.

A user's class derives from ``Request`` and defines hooks: ``on_accepted``, ``on_timeout``, ``on_success``,
``on_retry``, ``on_failure``. They are called in the process that runs the task.
"""

import os
import time
from collections.abc import Callable, Iterable, Mapping
from socket import gethostname
from typing import Any

from canvas.app.application import Canvas
from canvas.config.sources import imported
from canvas.errors import ConfigurationError
from canvas.execution.signal_arguments import ReceivedRequest
from canvas.model.message import Message
from canvas.model.outcome import ExceptionInfo, Failure, Outcome, Retried, Success
from canvas.model.request import Request as Context
from canvas.task.task import Task
from canvas.telemetry import attach, emit
from canvas.wire.task_message import message_of
from canvas.worker.pipeline.batched_tasks import batches_class

_OWN = ("celery.worker.request:Request", "celery.worker.request.Request", None)
_STRATEGY = "celery.worker.strategy:default"
_REFUSED = ("execute", "execute_using_pool", "acknowledge", "reject", "on_ack", "on_reject", "maybe_expire", "revoked")
"""Methods whose work canvas does elsewhere, so that overriding them would change nothing."""


class Request(ReceivedRequest):
    """A message that this worker runs. Its hooks do nothing: canvas itself stores results and acks messages."""

    def __init__(
        self, message: Any, on_ack: Any = None, hostname: str | None = None, eventer: Any = None,
        app: Canvas | None = None, connection_errors: Any = None, request_dict: Any = None, task: Any = None,
        on_reject: Any = None, body: Any = None, headers: Mapping[str, Any] | None = None, decoded: bool = False,
        utc: bool = True, context: Context | None = None, **options: Any,
    ) -> None:  # fmt: skip
        """``message``: canvas' own, or one with the attributes of kombu's.

        ``headers`` and ``body`` come before those of the message; ``decoded``: its body is not text. ``task``: by
        default that of ``app`` with its name. ``context``: the task's own request. The other arguments are Celery's,
        and have no effect. Raises DecodeError and InvalidTaskError for parts that make no message.
        """
        found = message if isinstance(message, Message) else _read(message, headers, body, decoded)
        node = hostname or gethostname()
        if task is None and app is not None:
            task = app.tasks[found.task]
        super().__init__(found, context or Context(found, hostname=node), task, node)
        self.app = app or getattr(task, "app", None)

    def on_accepted(self, pid: int, time_accepted: float) -> Any:
        """Called when the task starts; ``time_accepted`` is a time of the monotonic clock."""

    def on_timeout(self, soft: bool, timeout: float) -> Any:
        """Called when a time limit, in seconds, has passed: ``soft`` or hard."""

    def on_success(self, failed__retval__runtime: tuple[bool, Any, float], **kwargs: Any) -> Any:
        """Called when the task has succeeded, with ``(False, result, seconds)``."""

    def on_retry(self, exc_info: Any) -> Any:
        """Called when the task is to run again; ``exc_info.exception`` is the Retry."""

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> Any:
        """Called when the task has failed; ``exc_info`` has ``exception`` and ``traceback``."""


def class_of(task: Task[Any]) -> type[Request] | None:
    """The class of a task's requests, if it is not canvas' own.

    Raises ConfigurationError for a class that is not a Request, or that overrides a method whose work canvas does
    itself, and for a Strategy.
    """
    if task.Strategy not in (None, _STRATEGY) and batches_class(task) is None:
        raise ConfigurationError(
            f"task {task.name}: Strategy: canvas takes messages without strategies, and calls none; got "
            f"{task.Strategy!r:.100}: to run several calls together, send one task with a list"
        )
    given = task.Request
    if given in _OWN or given is Request:
        return None
    found = imported(given) if isinstance(given, str) else given
    if not (isinstance(found, type) and issubclass(found, Request)):
        raise ConfigurationError(f"task {task.name}: Request: expected a subclass of Request; got {found!r:.100}")
    refused = [name for name in _REFUSED if getattr(found, name, None) is not getattr(Request, name, None)]
    if refused:
        raise ConfigurationError(
            f"task {task.name}: Request: {found.__qualname__} overrides {', '.join(refused)}, which canvas does not "
            "call; it calls on_accepted, on_timeout, on_success, on_retry and on_failure"
        )
    return found


def _read(message: Any, headers: Mapping[str, Any] | None, body: Any, decoded: bool) -> Message:
    """A message with the attributes of kombu's as canvas has it."""
    payload, info = body if body is not None else message.body, dict(message.delivery_info or {})
    found = message_of(dict(message.headers if headers is None else headers), payload if decoded else message.payload)
    found.properties = {**(message.properties or {}), "delivery_info": info}
    if info.get("redelivered"):
        found.headers["redelivered"] = True
    return found


class RequestHooks:
    """Calls the hooks of requests, in each process of a node, while it is attached."""

    def __init__(self, classes: dict[str, type[Request]]) -> None:
        """``classes``: the class of the requests of each task that has one, by the task's name."""
        self._classes = classes
        self._open: dict[str, Request] = {}
        pairs: Iterable[tuple[str, Callable[..., None]]] = (
            ("task.received", self._received), ("task.started", self._started), ("task.finished", self._finished),
            ("task.timeout", self._timeout), ("task.soft_timeout", self._soft_timeout),
        )  # fmt: skip
        self._detach = [attach(listener, event) for event, listener in pairs]

    def close(self) -> None:
        """Call no more hooks."""
        for detach in self._detach:
            detach()

    def _received(self, message: Message, hostname: str, request: Context, task: Any, **_: Any) -> None:
        kind = self._classes.get(message.task)
        if kind is not None:
            self._open[message.id] = kind(message, task=task, hostname=hostname, app=task.app, context=request)

    def _started(self, message: Message, hostname: str, task: Any, **_: Any) -> None:
        if message.task not in self._classes:
            return
        if message.id not in self._open:
            self._received(message, hostname, Context(message, hostname=hostname), task)
        request = self._open[message.id]
        request.time_start, request.worker_pid = time.time(), os.getpid()
        _call(request, "on_accepted", request.worker_pid, time.monotonic())

    def _timeout(self, message: Message, limit: float, soft: bool = False, **_: Any) -> None:
        request = self._open.get(message.id)
        if request is not None:
            _call(request, "on_timeout", soft, limit)

    def _soft_timeout(self, message: Message, limit: float, **_: Any) -> None:
        self._timeout(message, limit, soft=True)

    def _finished(self, message: Message, outcome: Outcome, runtime: float, **_: Any) -> None:
        request = self._open.pop(message.id, None)
        if request is None:
            return
        match outcome:
            case Success(value):
                _call(request, "on_success", (False, value, runtime))
            case Retried(retry, text):
                _call(request, "on_retry", _plain(retry, text))
            case Failure(exc, text):
                _call(request, "on_failure", _plain(exc, text))


def _plain(exc: BaseException, text: str) -> ExceptionInfo:
    """An exception as Celery's hooks get it from the process of a task: ``exception`` is the exception itself."""
    info: Any = ExceptionInfo(exc, text)
    info.exception = exc
    return info  # type: ignore[no-any-return]


def _call(request: Request, hook: str, *arguments: Any) -> None:
    try:
        getattr(request, hook)(*arguments)
    except Exception as exc:  # noqa: BLE001 - it is reported; the task's outcome stays
        emit("hook.failed", hook=f"{type(request).__name__}.{hook}", task=request.name, task_id=request.id, exc=exc)


def request_hooks(app: Canvas) -> RequestHooks | None:
    """Attach the hooks of the requests of ``app``'s tasks; ``None`` without any. Raises ConfigurationError."""
    found = {name: kind for name, task in app.tasks.items() if (kind := class_of(task)) is not None}
    return RequestHooks(found) if found else None
