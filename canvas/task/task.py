"""A task: a function with its options and the calls that send it (Celery's ``Task``)."""

from collections.abc import Callable, Coroutine, Iterable, Mapping
from functools import cached_property
from operator import attrgetter
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from canvas.caller_warnings import ends_in_caller, leave_out
from canvas.context import composing, current_request, direct_call, enter_call, leave_call, reduced_task, request_of
from canvas.errors import Ignore, Replaced, Retry
from canvas.model.call_options import ATTRIBUTES, given, unset
from canvas.model.request import Request
from canvas.model.workflow_run import WORKFLOWS
from canvas.primitives.signature import Signature
from canvas.task.arguments import Composable, P, R
from canvas.task.attributes import SettingsApp, exception_classes
from canvas.task.limits import check_limits

if TYPE_CHECKING:
    from canvas.result import AsyncResult, EagerResult


OF_SOME = frozenset({"queue", "exchange", "routing_key", "compression", "delivery_mode"})
"""Options that, as in Celery, only those tasks have as attributes that are given them."""
_OF_ALL = (*(name for name in ATTRIBUTES if name not in OF_SOME), "ignore_result")


@ends_in_caller("__or__", "update_state", "adelay", "aapply_async")
class Task(Composable[P, R]):
    """Base of all tasks. ``@app.task`` makes one subclass and one instance of it per function."""

    option_values = attrgetter(*_OF_ALL)

    @property
    def sends_itself(self) -> bool:
        """Whether ``apply_async`` is overridden or patched, in a class or the task; it then sends signatures too."""
        own = self.__dict__.get("apply_async")
        of_class = type(self).apply_async is not APPLY_ASYNC
        return of_class or (own is not None and getattr(own, "__func__", None) is not APPLY_ASYNC)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run it in this process, now; inside a ``@workflow`` function, add it to the workflow."""
        flow = composing.get()
        if flow is not None:
            return flow.add(self.s(*args, **kwargs))  # type: ignore[no-any-return]
        request = current_request()
        if request is not None and not request.entered and request_of(self) is request:
            # A user's class calls super() in the worker's own call.
            request.entered = True
            return self.run(*args, **kwargs)
        called = self.request.with_fields(args=args, kwargs=kwargs)
        with direct_call(self, called):
            value = self.run(*args, **kwargs)
        return self._call_awaited(called, value) if isinstance(value, CoroutineType) else value  # type: ignore[return-value]

    async def _call_awaited(self, request: Request, value: Coroutine[Any, Any, R]) -> R:
        """The value of a coroutine task that is called as a function; it is running while it is awaited."""
        with direct_call(self, request):
            return await value

    def bind(self, app: SettingsApp) -> None:
        """Make it ``app``'s, filling unset attributes from the app's settings. Raises ConfigurationError."""
        super().bind(app)
        check_limits(self)
        given = [name for name in OF_SOME if hasattr(type(self), name)]
        self.__dict__["option_values"] = attrgetter(*_OF_ALL, *given)

    def delay(self, *args: P.args, **kwargs: P.kwargs) -> "AsyncResult[R]":
        """``apply_async(args, kwargs)``."""
        try:
            return self.apply_async(args, kwargs)
        except Exception as exc:
            leave_out(exc)
            raise

    def apply_async(
        self, args: Iterable[Any] | None = None, kwargs: Mapping[str, Any] | None = None, task_id: str | None = None,
        producer: Any = None, link: Any = None, link_error: Any = None, shadow: str | None = None, **options: Any,
    ) -> "AsyncResult[R]":  # fmt: skip
        """Send it; returns its AsyncResult.

        ``link``, ``link_error``: signatures called with the result, or after a failure. ``shadow``: its name in logs.
        The reference of calls has the ``options``. Raises TypeError, EncodeError, OperationalError."""
        try:
            self._check_call(args, kwargs)
            if task_id is producer is link is link_error is shadow is None:
                sent = self.app.plain_calls.send(self.name, args, kwargs, options, self)
                if sent is not None:
                    return sent  # type: ignore[no-any-return]
            shadow = shadow or self.shadow_name(args, kwargs, options)
            named = {"task_id": task_id, "producer": producer, "link": link, "link_error": link_error, "shadow": shadow}
            if self.app.sends_itself and not self.app.conf.task_always_eager:
                return self.app.sender.send_call(self, args, kwargs, options | named)  # type: ignore[no-any-return]
            sig = self.signature(args, kwargs, unset(options) if options else None)
            return self.app.apply_signature(sig, (), {}, {**options, **given(named)})  # type: ignore[no-any-return]
        except Exception as exc:
            leave_out(exc)
            raise

    async def adelay(self, *args: P.args, **kwargs: P.kwargs) -> "AsyncResult[R]":
        """``delay``, without blocking the event loop."""
        return await self.aapply_async(args, kwargs)

    async def aapply_async(
        self, args: Iterable[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> "AsyncResult[R]":
        """``apply_async``, without blocking the event loop."""
        self._check_call(args, kwargs)
        if self.sends_itself:
            # Imported late: a program on an event loop has imported it already; all others do without.
            import asyncio

            return await asyncio.to_thread(lambda: self.apply_async(args, kwargs, **options))
        sent = await self.app.plain_calls.asend(self.name, args, kwargs, options, self)
        if sent is not None:
            return sent  # type: ignore[no-any-return]
        sig = self.signature(args, kwargs, unset(options) if options else None)
        return await self.app.aapply_signature(sig, (), {}, options)  # type: ignore[no-any-return]

    def apply(
        self, args: Iterable[Any] | None = None, kwargs: Mapping[str, Any] | None = None, link: Any = None,
        link_error: Any = None, task_id: str | None = None, retries: int = 0, throw: bool | None = None,
        logfile: Any = None, loglevel: Any = None, headers: Mapping[str, Any] | None = None, **options: Any,
    ) -> "EagerResult[R]":  # fmt: skip
        """Run it in this process; returns an EagerResult, with the result that a worker would have stored.

        ``retries``: how often it was retried before. ``throw``: its exception is raised, as with
        ``task_eager_propagates``. ``logfile`` and ``loglevel`` are only kept in the request.
        """
        self._check_registered()
        named = {
            "task_id": task_id, "link": link, "link_error": link_error, "retries": retries or None, "throw": throw,
            "logfile": logfile, "loglevel": loglevel, "headers": headers,
        }  # fmt: skip
        sig = self.signature(args, kwargs)
        return self.app.apply_task(sig, {**options, **given(named)})  # type: ignore[no-any-return]

    def attribute_options(self) -> dict[str, Any]:
        """Message options that this task's attributes give."""
        options = {name: value for name in ATTRIBUTES if (value := getattr(self, name, None)) is not None}
        return options | {"ignore_result": bool(self.ignore_result)}

    @property
    def request(self) -> Request:
        """The running call of this task. If the task is called as a function, it is a request without an id, or that of
        the same task's call around it. If the task is not running, it is a request that belongs to the task."""
        request = request_of(self)
        return request if request is not None else self._own_request

    def _get_request(self) -> Request:
        """``request``, for plug-ins that override the property."""
        return self.request

    @cached_property
    def _own_request(self) -> Request:
        return Request()

    def push_request(self, *args: Any, **fields: Any) -> None:
        """Let ``request`` be one with these fields, until ``pop_request``: for tests."""
        token = enter_call(self, self.request.with_fields(**dict(*args, **fields)))
        self.__dict__.setdefault("_pushed", []).append(token)

    def pop_request(self) -> None:
        """Undo ``push_request``. Raises IndexError without one."""
        leave_call(self.__dict__.get("_pushed", []).pop())

    def shadow_name(self, args: Any, kwargs: Any, options: Mapping[str, Any]) -> str | None:
        """Override it to give calls another name in logs and monitors."""

    @property
    def backend(self) -> Any:
        """The app's result backend."""
        return self.app.backend

    def AsyncResult(self, task_id: str, **kwargs: Any) -> "AsyncResult[R]":
        """The handle of the call with this id."""
        return self.app.AsyncResult(task_id, task_name=self.name, **kwargs)  # type: ignore[no-any-return]

    def update_state(
        self, task_id: str | None = None, state: str | None = None, meta: Any = None, **kwargs: Any
    ) -> None:
        """Store a custom state (``"PROGRESS"``) with ``meta`` as the result of ``task_id``, by default this call's."""
        request = self.request
        self.backend.store_result(task_id or request.id, meta, state, request=request, **kwargs)

    def retry(
        self, args: Iterable[Any] | None = None, kwargs: Mapping[str, Any] | None = None,
        exc: BaseException | type[BaseException] | str | None = None, throw: bool = True, eta: Any = None,
        countdown: float | None = None, max_retries: int | None = None, **options: Any,
    ) -> Retry:  # fmt: skip
        """Run again later: raises Retry; the worker sends the new message in the same step that ends this one.

        ``args`` and ``kwargs`` replace those of this call, parameter by parameter where only one of them is given.
        ``countdown`` is in seconds; without it and ``eta`` it is ``default_retry_delay``. An ``eta`` is a datetime or
        ISO 8601 text, UTC if it has no offset. ``max_retries`` counts instead of the task's own for this run of the
        task, automatic retries included. ``exc`` is the reason: an exception or text.

        With ``throw=False`` it returns Retry, and the task continues: the message is sent whatever its outcome.
        ``options`` are those of ``apply_async``. Raises ``exc`` once ``max_retries`` is passed,
        MaxRetriesExceededError if it is not an exception, ``exc`` when the task was called directly, and
        InvalidTaskError for a time that cannot be read.
        """
        from canvas.task.retry import retry  # imported late: most tasks never retry

        return retry(self, args, kwargs, exc, throw, eta, countdown, max_retries, options)

    def retry_after(self, exc: BaseException, caller: "Task[Any] | None" = None) -> Retry | None:
        """The Retry to raise instead of ``exc``, if the task's ``autoretry_for`` names it; otherwise ``None``.
        ``caller`` has called it as a function: its call is retried. Raises ``exc`` once ``max_retries`` is passed.
        """
        never = (Ignore, Retry, *exception_classes(self.dont_autoretry_for))
        if not isinstance(exc, exception_classes(self.autoretry_for)) or isinstance(exc, never):
            return None
        from canvas.task.retry import autoretry  # imported late: most tasks never retry

        return autoretry(self, exc, caller)

    def signature_from_request(
        self, request: Any = None, args: Any = None, kwargs: Any = None, queue: Any = None, **options: Any
    ) -> Signature[R]:
        """This call, or that of ``request``, again: with its id, its place and its count of retries (semantics.md)."""
        from canvas.task.retry import signature_again  # imported late: most tasks never retry

        return signature_again(self, args, kwargs, {**options, "queue": queue}, request)

    subtask_from_request = signature_from_request

    def replace(self, sig: Any) -> Any:
        """Give this task's place to ``sig``, a signature or a ``Workflow``: ``return self.replace(sig)``. Raises
        ConfigurationError for an empty chain, and for a signature that is part of a chord.
        """
        from canvas.task.replace import place_of_run, replacement

        if type(sig) in WORKFLOWS:
            return place_of_run(self, sig)
        return self.on_replace(replacement(self.app, self.request, sig))

    def on_replace(self, sig: Signature[Any]) -> Any:
        """Called by ``replace`` with ``sig``, the signature that continues; override it to change that."""
        raise Replaced(sig)

    def add_to_chord(self, sig: Signature[Any], lazy: bool = False) -> Any:
        """Add ``sig`` to the header of the chord that this task is in; returns its result.

        It is sent in the same step that ends this task. With ``lazy`` the chord waits for it from now on, and the
        signature is returned for the caller to send. Raises ValueError outside a chord, CompositionError for an empty
        chain.
        """
        from canvas.task.replace import add_to_chord  # imported late: most tasks never do so

        return add_to_chord(self, sig, lazy)

    def add_trail(self, result: Any) -> Any:
        """Count ``result`` among this task's children."""
        if self.trail:
            (current_request() or self.request).children.append(result)
        return result

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return reduced_task(self.name, type(self).__module__)

    def __repr__(self) -> str:
        owner = f" of {self.app.main or '__main__'} at {id(self.app):#x}" if self.app else ""
        return f"<@task: {self.name}{owner}>"


APPLY, APPLY_ASYNC = Task.apply, Task.apply_async
ATTRIBUTE_OPTIONS, RESULT_OF_TASKS = Task.attribute_options, Task.AsyncResult
"""A class of tasks that has another ``AsyncResult`` makes the results of its tasks with that."""
