"""Messages of tasks under the names that ``app.amqp`` has for them in Celery: made, sent, and changed by programs.

A program changes the messages of an app by a subclass of ``AMQP``, or by assigning to ``task_protocols``,
``create_task_message`` or ``send_task_message``. Its functions then make every message that the app sends.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, tzinfo
from functools import cached_property
from typing import Any, Final, NamedTuple

from canvas.app.application import Canvas
from canvas.celery_names.messages.outgoing import CollectingProducer, Outgoing, kombu_publish
from canvas.model.compiled import TaskCall
from canvas.model.ids import Lineage
from canvas.model.message import BuiltMessage, Message
from canvas.model.workflow_run import RUN_HEADER
from canvas.producer.message_builder import MessageBuilder
from canvas.task.arguments import check_call
from canvas.text import short_repr
from canvas.wire.moments import eta_text, expires_text
from canvas.wire.task_message import v1_body

_REPR_SIZE: Final = 1024
_NAMED: Final = frozenset({
    "task_id", "countdown", "eta", "group_id", "group_index", "expires", "retries", "chord", "link", "link_error",
    "reply_to", "time_limit", "soft_time_limit", "root_id", "parent_id", "shadow", "chain", "ignore_result",
    "replaced_task_nesting", "producer", "publisher", "connection", "router", "result_cls", "add_to_parent",
    "route_name", "task_type",
})  # fmt: skip
"""Options of calls that ``create_task_message`` gets as arguments of their own, or not at all."""


class task_message(NamedTuple):
    """A message of a task before it is serialised."""

    headers: dict[str, Any]
    properties: dict[str, Any]
    body: Any
    """``(args, kwargs, embed)`` in protocol 2, a mapping in protocol 1."""
    sent_event: dict[str, Any] | None
    """The fields of the event ``task-sent``; ``None``: there is no event."""


class _Clock(NamedTuple):
    """A time and a zone that a caller gives."""

    moment: datetime
    timezone: tzinfo

    def now(self) -> datetime:
        return self.moment


class TaskMessages:
    """The part of ``app.amqp`` that makes messages of tasks and sends them."""

    argsrepr_maxsize = _REPR_SIZE
    """The characters of positional arguments in the header ``argsrepr``."""
    kwargsrepr_maxsize = _REPR_SIZE
    """The characters of keyword arguments in the header ``kwargsrepr``."""

    def __init__(self, app: Canvas) -> None:
        self.app = app
        self.task_protocols: dict[int, Callable[..., Any]] = {1: self.as_task_v1, 2: self.as_task_v2}
        """By protocol, the function that makes a message."""
        app.own_messages = self

    @property
    def utc(self) -> bool:
        """The setting ``enable_utc``."""
        return bool(self.app.conf.enable_utc)

    @cached_property
    def create_task_message(self) -> Callable[..., Any]:
        """The function of ``task_protocols`` for the setting ``task_protocol``."""
        return self.task_protocols[self.app.conf.task_protocol]

    @cached_property
    def send_task_message(self) -> Callable[..., Any]:
        """Sends a message: ``send_task_message(producer, name, message, **options)``."""
        return self._create_task_sender()

    def as_task_v2(
        self, task_id: str, name: str, args: Any = None, kwargs: Mapping[str, Any] | None = None,
        countdown: float | None = None, eta: Any = None, group_id: str | None = None, group_index: int | None = None,
        expires: Any = None, retries: int = 0, chord: Any = None, callbacks: Any = None, errbacks: Any = None,
        reply_to: str | None = None, time_limit: float | None = None, soft_time_limit: float | None = None,
        create_sent_event: bool = False, root_id: str | None = None, parent_id: str | None = None,
        shadow: str | None = None, chain: Any = None, now: datetime | None = None, timezone: tzinfo | None = None,
        origin: str | None = None, ignore_result: bool | None = False, argsrepr: str | None = None,
        kwargsrepr: str | None = None, stamped_headers: Sequence[str] | None = None, replaced_task_nesting: int = 0,
        **options: Any,
    ) -> task_message:  # fmt: skip
        """A message in protocol 2.

        ``now`` and ``timezone``: the time that ``countdown`` and ``expires`` in seconds count from, by default the
        app's. Raises TypeError for arguments that are neither a list nor a mapping.
        """
        call = {**options, "task_id": task_id, "group_id": group_id, "group_index": group_index, "retries": retries,
                "chord": chord, "link": callbacks, "link_error": errbacks, "reply_to": reply_to, "root_id": root_id,
                "time_limit": time_limit, "soft_time_limit": soft_time_limit, "parent_id": parent_id,
                "shadow": shadow, "chain": chain, "origin": origin, "ignore_result": ignore_result,
                "argsrepr": argsrepr, "kwargsrepr": kwargsrepr, "stamped_headers": stamped_headers,
                "replaced_task_nesting": replaced_task_nesting}  # fmt: skip
        times = {"countdown": countdown, "eta": eta, "expires": expires}
        made = self._made(name, args, kwargs, call, times, _Clock(now or self.app.now(), timezone or self.app.timezone))
        event = _sent_event(made) if create_sent_event else None
        return task_message(made.headers, _properties(task_id, reply_to), (made.args, made.kwargs, made.embed), event)

    def as_task_v1(
        self, task_id: str, name: str, args: Any = None, kwargs: Mapping[str, Any] | None = None,
        countdown: float | None = None, eta: Any = None, group_id: str | None = None, group_index: int | None = None,
        expires: Any = None, retries: int = 0, chord: Any = None, callbacks: Any = None, errbacks: Any = None,
        reply_to: str | None = None, time_limit: float | None = None, soft_time_limit: float | None = None,
        create_sent_event: bool = False, root_id: str | None = None, parent_id: str | None = None,
        shadow: str | None = None, now: datetime | None = None, timezone: tzinfo | None = None, **compat_kwargs: Any,
    ) -> task_message:  # fmt: skip
        """A message in protocol 1, with arguments as ``as_task_v2`` takes them."""
        call = {"task_id": task_id, "group_id": group_id, "group_index": group_index, "retries": retries,
                "chord": chord, "link": callbacks, "link_error": errbacks, "time_limit": time_limit,
                "soft_time_limit": soft_time_limit}  # fmt: skip
        times = {"countdown": countdown, "eta": eta, "expires": expires}
        made = self._made(name, args, kwargs, call, times, _Clock(now or self.app.now(), timezone or self.app.timezone))
        body = {**v1_body(made), "utc": self.utc, "timelimit": (time_limit, soft_time_limit)}
        event = None
        if create_sent_event:
            event = {name: value for name, value in _sent_event(made).items() if name not in ("root_id", "parent_id")}
        return task_message({}, _properties(task_id, reply_to), body, event)

    def _made(
        self, name: str, args: Any, kwargs: Any, call: Mapping[str, Any], times: Mapping[str, Any], clock: "_Clock"
    ) -> Message:
        options = {**call, "eta": eta_text(times, clock), "expires": expires_text(times, clock)}
        check_call(name, args, kwargs)
        args, kwargs = args or (), kwargs or {}
        levels = self.app.conf.task_repr_maxlevels
        for option, value, size in (
            ("argsrepr", args, self.argsrepr_maxsize), ("kwargsrepr", kwargs, self.kwargsrepr_maxsize)
        ):  # fmt: skip
            if options.get(option) is None:
                options[option] = short_repr(value, size, levels)
        options.pop("headers", None)  # send_task_message adds them
        return self.app.client.message(TaskCall(name, args, kwargs, options), options, Lineage())

    def _create_task_sender(self) -> Callable[..., Any]:
        return self._send_message

    def _send_message(
        self, producer: Any, name: str, message: Any, exchange: Any = None, routing_key: str | None = None,
        queue: Any = None, event_dispatcher: Any = None, retry: bool | None = None,
        retry_policy: Mapping[str, Any] | None = None, serializer: str | None = None, delivery_mode: Any = None,
        compression: str | None = None, declare: Any = None, headers: Mapping[str, Any] | None = None,
        exchange_type: str | None = None, timeout: float | None = None, confirm_timeout: float | None = None,
        **kwargs: Any,
    ) -> Any:  # fmt: skip
        """Send a message by a producer of kombu; ``None``: by the app's own connection.

        ``message``: a ``task_message``; ``headers`` are added to its own, and ``kwargs`` to its properties. The address
        and the other options are those of ``apply_async``.
        """
        headers2, properties, body, sent_event = message
        headers2.update(headers or {})
        properties.update(kwargs)
        place = {"exchange": exchange, "routing_key": routing_key, "queue": queue, "exchange_type": exchange_type}
        route = self.app.router.address(place)
        how = {"retry": retry, "retry_policy": retry_policy, "serializer": serializer, "compression": compression}
        outgoing = Outgoing(name, headers2, properties, body, route, delivery_mode, how)
        if isinstance(producer, CollectingProducer):
            return producer.take(outgoing)
        extra = {"declare": declare, "timeout": timeout, "confirm_timeout": confirm_timeout}
        sent = None
        if producer is None:
            outgoing.send(self.app)
        else:
            sent = kombu_publish(self.app, producer, outgoing, extra)
        if sent_event:
            self._announce(outgoing, sent_event, event_dispatcher, producer)
        return sent

    def _announce(self, outgoing: Outgoing, event: dict[str, Any], dispatcher: Any, producer: Any) -> None:
        if dispatcher is None:
            self.app.sent_events.announce([outgoing.message(self.app)])
            return
        route = outgoing.route
        event.update(queue=route.queue and route.queue.name, exchange=route.exchange, routing_key=route.routing_key)
        dispatcher.publish("task-sent", event, producer)

    @property
    def customised(self) -> bool:
        """Whether the program has functions of its own for messages, or other sizes of their texts."""
        own = {TaskMessages.as_task_v1, TaskMessages.as_task_v2}
        return (
            getattr(self.create_task_message, "__func__", None) not in own
            or getattr(self.send_task_message, "__func__", None) is not TaskMessages._send_message
            or not self.argsrepr_maxsize == self.kwargsrepr_maxsize == _REPR_SIZE
        )

    def written(self, builder: MessageBuilder, calls: Sequence[TaskCall], lineage: Lineage) -> list[BuiltMessage]:
        """The messages of calls, as the program's functions make them. A function that sends nothing gives none."""
        found: list[BuiltMessage] = []
        for call in calls:
            options = {**self.app.exec_options(call.task), **call.options}
            usual, route = builder.addressed(call, options, lineage)
            further = {name: value for name, value in options.items() if name not in _NAMED and value is not None}
            if route.queue is not None:
                further["queue"] = self.app.amqp.queues[route.queue.name]
            if usual.properties["priority"]:
                further["priority"] = usual.properties["priority"]
            made = self._created(call, options, usual, further)
            for name in (RUN_HEADER, *further.pop("stamped_headers", ())):
                further.pop(name, None)
            producer = CollectingProducer(builder, usual, options)
            self.send_task_message(producer, call.task, made, **further)
            found += producer.built
        return found

    def _created(self, call: TaskCall, options: Mapping[str, Any], usual: Message, further: Mapping[str, Any]) -> Any:
        given, headers, embed = options.get, usual.headers, usual.embed
        return self.create_task_message(
            usual.id, call.task, call.args, call.kwargs, given("countdown"), given("eta"), given("group_id"),
            given("group_index"), given("expires"), headers["retries"], embed["chord"], embed["callbacks"],
            embed["errbacks"], usual.properties["reply_to"], given("time_limit"), given("soft_time_limit"),
            self.app.conf.task_send_sent_event, headers["root_id"], headers["parent_id"], given("shadow"),
            embed["chain"], ignore_result=given("ignore_result"),
            replaced_task_nesting=headers["replaced_task_nesting"], **further,
        )  # fmt: skip


def _properties(task_id: str, reply_to: str | None) -> dict[str, Any]:
    return {"correlation_id": task_id, "reply_to": reply_to or ""}


def _sent_event(made: Message) -> dict[str, Any]:
    headers = made.headers
    return {
        "uuid": made.id, "root_id": headers["root_id"], "parent_id": headers["parent_id"], "name": made.task,
        "args": headers["argsrepr"], "kwargs": headers["kwargsrepr"], "retries": headers["retries"],
        "eta": headers["eta"], "expires": headers["expires"],
    }  # fmt: skip
