"""Calls of single tasks, which take no plan: their form is decided once, and each call fills in its own values.

A call that needs more is left to the general way, as is one that is to be refused: that way says why.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cached_property
from operator import attrgetter
from os import getpid
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from canvas import telemetry
from canvas.context import current_request
from canvas.drivers.ports.broker import Broker
from canvas.drivers.ports.codec import FilledIn
from canvas.drivers.retry_policy import Delays, check_policy, delays
from canvas.errors import CanvasError, ConfigurationError, EncodeError, InvalidTaskError
from canvas.model.compiled import TaskCall, gathering
from canvas.model.ids import Lineage, new_id
from canvas.model.message import EncodedMessage, Publish
from canvas.primitives.signature import Signature
from canvas.producer.option_checks import check_options
from canvas.producer.prepared_messages import NO_LINKS, option_values
from canvas.result import AsyncResult
from canvas.task.task import Task
from canvas.text import short_repr
from canvas.wire.depth import LONG_TEXT, check_depth
from canvas.wire.moments import eta_text, expires_text, instant
from canvas.wire.typed_json import dumps

if TYPE_CHECKING:
    from typing import Protocol

    from canvas.producer.planner import SenderApp
    from canvas.producer.routing import Router
    from canvas.wire.moments import Clock
    from canvas.wire.signing import Signer

    class PlainApp(SenderApp, Clock, Protocol):
        """The parts of an app that plain calls need."""

        @property
        def signer(self) -> Signer: ...

        def use_own_messages(self) -> None: ...


_hooks = attrgetter("shadow_name", "signature", "attribute_options", "AsyncResult")
_OWN_HOOKS: Final = _hooks(Task)
_FIXED: Final = frozenset({"queue", "exchange", "routing_key", "priority", "ignore_result", "time_limit"})
"""Options that calls of one form have in common."""
_TIMES: Final = frozenset({"countdown", "eta", "expires"})
"""Options that each call has a value of its own for."""
_OPTIONS: Final = _FIXED | _TIMES
_KINDS: Final = frozenset({str, int, float, bool, datetime})
"""Types of their values."""
_LISTS: Final = frozenset({tuple, list, type(None)})
_DICTS: Final = frozenset({dict, type(None)})
_Call = tuple[str, Any, Any, Mapping[str, Any], Task[Any] | None]
_FORMS_KEPT = 1_000
_MARKS: Final = {
    name: f"\x01{name}\x01" for name in ("id", "reply_to", "argsrepr", "kwargsrepr", "eta", "expires", "expiration")
}
"""The texts that stand for the values of a call in a form."""
_OFF = ("task_always_eager", "task_send_sent_event", "task_compression")
"""Settings with which each call takes the general way."""


class PlainForm(NamedTuple):
    """The common part of the plain calls of one task with the same options."""

    decisive: tuple[Any, ...] | None
    """The values of the task's attributes that it was made with; ``None``: no task of this name is registered."""
    fill: FilledIn | None = None
    """Writes a message; ``None`` where these calls take the general way."""
    address: Publish = Publish("", "", 0, b"")
    ignored: bool = False
    """Whether the result is not kept."""
    times: tuple[str, ...] = ()
    """The marks of the times that its calls give."""


class PlainCalls:
    """Sends the plain calls of one app. It is made again when one of its settings changes."""

    def __init__(self, app: "PlainApp") -> None:
        app.use_own_messages()
        conf = app.conf
        self._app = app
        self._plain = (
            not any(getattr(conf, name) for name in _OFF) and conf.task_serializer == "json" and conf.task_protocol == 2
        )
        self._max_depth, self._max_bytes = conf.task_message_max_depth, conf.task_message_max_bytes
        self._levels = conf.task_repr_maxlevels
        self._delays: Delays = None if conf.task_publish_retry else ()
        self._policy = conf.changed().get("task_publish_retry_policy") if conf.task_publish_retry else None
        if self._policy is not None:
            check_policy(self._policy, "task_publish_retry_policy")
        self._forms: dict[Any, PlainForm] = {}
        self._pid = self._version = 0

    # Looked up by the first call: an app that runs its tasks in this process has none of them.

    @cached_property
    def _broker(self) -> Broker:
        return self._app.driver.broker

    @cached_property
    def _router(self) -> "Router":
        return self._app.router

    @cached_property
    def _tasks(self) -> Mapping[str, Task[Any]]:
        return self._app.tasks

    def send(
        self, name: str, args: Iterable[Any] | None, kwargs: Mapping[str, Any] | None, options: Mapping[str, Any],
        task: Task[Any] | None = None,
    ) -> AsyncResult | None:  # fmt: skip
        """Send a call. Returns its handle, or ``None`` where only the general way can send it. ``task``: whose method
        it is.

        Raises TypeError for arguments that do not fit ``task``, OperationalError."""
        written = self._written(name, args, kwargs, options, task)
        if written is None:
            return None
        try:
            self._broker.publish((written[1],), self._delays if self._policy is None else delays(self._policy))
        except CanvasError as exc:
            raise exc.with_traceback(None)  # noqa: B904 - its text explains it, frames in canvas do not
        return self._handle(*written)

    async def asend(
        self, name: str, args: Iterable[Any] | None, kwargs: Mapping[str, Any] | None, options: Mapping[str, Any],
        task: Task[Any] | None = None,
    ) -> AsyncResult | None:  # fmt: skip
        """``send`` on an event loop."""
        written = self._written(name, args, kwargs, options, task)
        if written is None:
            return None
        try:
            await self._broker.apublish((written[1],), self._delays if self._policy is None else delays(self._policy))
        except CanvasError as exc:
            raise exc.with_traceback(None)  # noqa: B904 - as in send
        return self._handle(*written)

    def send_signature(self, sig: Signature[Any], args: Any, kwargs: Any, options: Mapping[str, Any]) -> Any:
        """``send`` of a signature of one task, called with these partial arguments and options."""
        call = self._call_of(sig, args, kwargs, options)
        return None if call is None else self.send(*call)

    async def asend_signature(self, sig: Signature[Any], args: Any, kwargs: Any, options: Mapping[str, Any]) -> Any:
        """``send_signature`` on an event loop."""
        call = self._call_of(sig, args, kwargs, options)
        return None if call is None else await self.asend(*call)

    def _call_of(self, sig: Signature[Any], args: Any, kwargs: Any, options: Mapping[str, Any]) -> _Call | None:
        name = sig.get("task")
        # Arguments of other types may be readable only once, and the general way is to read them too.
        if (
            type(sig) is not Signature
            or sig.route_name is not None
            or type(name) is not str
            or type(args) not in _LISTS
            or type(kwargs) not in _DICTS
            or not self._plain
            or self._app.sends_itself
        ):
            return None
        return name, *sig.merged_with(args, kwargs, options), self._tasks.get(name)

    def _handle(self, form: PlainForm, publish: Publish, task_id: str) -> AsyncResult:
        handle = self._app.AsyncResult(task_id)
        handle.ignored = form.ignored
        handle.sent_to = None if publish.exchange else publish.routing_key
        return handle

    def _written(
        self, name: str, args: Any, kwargs: Any, options: Mapping[str, Any], task: Task[Any] | None
    ) -> tuple[PlainForm, Publish, str] | None:
        if type(name) is not str or type(args) not in _LISTS or type(kwargs) not in _DICTS:
            return None
        try:
            form = self._form_of(name, options, task)
        except ConfigurationError:
            raise  # binding a task finds it once: the general way would send the task
        except CanvasError:
            return None
        if form is None or form.fill is None:
            return None
        args, kwargs = tuple(args or ()), kwargs or {}
        if task is not None:
            task.check_typing(args, kwargs)
        task_id = new_id()
        try:
            shown = short_repr(kwargs, levels=self._levels) if kwargs else "{}"
            values = [task_id, self._app.oid, short_repr(args, levels=self._levels), shown]
            if form.times:
                values += self._times(form.times, options)
            body = dumps((args, kwargs, NO_LINKS))
            if len(body) > self._max_depth and self._may_be_deep(body):
                check_depth(body, self._max_depth, EncodeError)
            payload = form.fill(body, values)
        except (EncodeError, InvalidTaskError, RecursionError):
            return None
        if self._max_bytes and len(payload) > self._max_bytes:
            return None
        exchange, routing_key, priority, _, queue = form.address
        return form, Publish(exchange, routing_key, priority, payload, queue), task_id

    def _may_be_deep(self, body: bytes) -> bool:
        return len(body) >= LONG_TEXT or body.count(b"[") + body.count(b"{") > self._max_depth

    def _times(self, times: tuple[str, ...], options: Mapping[str, Any]) -> list[Any]:
        values: list[Any] = [eta_text(options, self._app)]
        if "expires" in times:
            expires = expires_text(options, self._app)
            if expires is None:
                raise InvalidTaskError("expires: empty")
            left = (instant(expires) - self._app.now()).total_seconds()
            values += [expires, str(max(0, round(left * 1000)))]
        return values

    def _form_of(self, name: str, options: Mapping[str, Any], task: Task[Any] | None) -> PlainForm | None:
        if not self._plain:
            return None
        app, listeners, known = self._app, telemetry.listeners, self._tasks.get(name)
        if (
            current_request() is not None
            or gathering.get() is not None
            or "message.publishing" in listeners
            or "message.published" in listeners
            or (app.own_messages is not None and app.own_messages.customised)
            or (task is not None and (task is not known or app.sends_itself))
        ):
            return None
        if known is not None:
            own = known.__dict__
            if _hooks(type(known)) != _OWN_HOOKS or "shadow_name" in own or "signature" in own:
                return None
        key: Any = name
        if options:
            if not _OPTIONS.issuperset(options) or not _KINDS.issuperset(map(type, options.values())):
                return None
            fixed = [(option, type(value), value) for option, value in options.items() if option in _FIXED]
            key = (name, *fixed, *(option for option in options if option in _TIMES))
        if self._pid != getpid() or self._version != self._router.version:
            self._forms, self._pid, self._version = {}, getpid(), self._router.version
        form = self._forms.get(key)
        decisive = None if known is None else (option_values(known), known.unique_for, known.pydantic_models)
        if form is None or form.decisive != decisive:
            if len(self._forms) >= _FORMS_KEPT:
                self._forms.clear()
            form = self._forms[key] = self._form(name, options, known, decisive)
        return form

    def _form(
        self, name: str, options: Mapping[str, Any], task: Task[Any] | None, decisive: tuple[Any, ...] | None
    ) -> PlainForm:
        fixed = {option: value for option, value in options.items() if option in _FIXED}
        merged = {**(task.attribute_options() if task is not None else {}), **fixed}
        if self._app.signer.signs or not self._router.routes_by_name:
            return PlainForm(decisive)
        special = task is not None and (task.pydantic_models is not None or task.unique_for or task.soft_time_limit)
        if special or merged.get("compression") or merged.get("expires") is not None:
            return PlainForm(decisive)
        if merged.get("serializer") not in (None, "json"):
            return PlainForm(decisive)
        check_options(name, options)
        timed = not _TIMES.isdisjoint(options)
        times = (("eta", "expires", "expiration") if "expires" in options else ("eta",)) if timed else ()
        own: dict[str, Any] = {"task_id": _MARKS["id"], "root_id": _MARKS["id"], "reply_to": _MARKS["reply_to"]}
        if "expires" in options:
            own["expires"] = 1  # so that the message has the fields to be filled in
        call = TaskCall(name, (), {}, {**merged, **own})
        message, route = self._app.client.addressed(call, call.options, Lineage())
        message.headers.update((text, _MARKS[text]) for text in ("argsrepr", "kwargsrepr"))
        for time in times:
            (message.properties if time == "expiration" else message.headers)[time] = _MARKS[time]
        info, priority = message.properties["delivery_info"], message.properties.get("priority") or 0
        address = Publish(info["exchange"], info["routing_key"], priority, b"", route.queue)
        marks = [_MARKS[mark] for mark in ("id", "reply_to", "argsrepr", "kwargsrepr", *times)]
        encoded = EncodedMessage(b"", "application/json", "utf-8", message.headers, message.properties)
        fill = self._broker.codec.prepared(encoded, address.exchange, address.routing_key, marks)
        ignored = merged.get("ignore_result")
        return PlainForm(decisive, fill, address, bool(ignored), times)
