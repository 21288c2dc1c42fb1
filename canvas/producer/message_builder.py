"""From a compiled call to bytes on their way to a queue: headers, route, serialisation.

Sources: protocol.md §1.3, §2.1, §2.4; semantics.md W1–W10, T6, T8.
"""

import os
from collections.abc import Mapping, Sequence
from functools import partial
from operator import is_
from typing import TYPE_CHECKING, Any, Protocol

from canvas import telemetry
from canvas.errors import ConfigurationError, EncodeError, InvalidTaskError
from canvas.model.call_options import NAMES
from canvas.model.compiled import TaskCall
from canvas.model.ids import Lineage, new_id
from canvas.model.message import BuiltMessage, Message, Publish, delivery_mode
from canvas.model.workflow_run import RUN_HEADER
from canvas.producer.embedded_signatures import with_links
from canvas.producer.prepared_messages import AttributeOptions, PreparedMessages
from canvas.producer.routing import Route, Router
from canvas.task.pydantic_models import Models, plain_arguments, plain_signatures
from canvas.task.task import Task
from canvas.telemetry import emit
from canvas.text import short_repr
from canvas.wire import task_message as wire
from canvas.wire.moments import Clock, due, eta_text, expires_text, instant
from canvas.wire.signing import Signer
from canvas.wire.typed_json import MemoEncoder

if TYPE_CHECKING:
    from canvas.config.config import Config
    from canvas.drivers.ports import Driver
    from canvas.drivers.ports.codec import MessageCodec


class OwnMessages(Protocol):
    """The functions of a program that make the app's messages."""

    @property
    def customised(self) -> bool: ...

    def written(self, builder: "MessageBuilder", calls: Sequence[TaskCall], lineage: Lineage) -> list[BuiltMessage]: ...


class MessageContext(Clock, Protocol):
    """The parts of an app that messages are made with."""

    @property
    def oid(self) -> str: ...

    @property
    def signer(self) -> Signer: ...

    own_messages: "OwnMessages | None"

    def models_of(self, name: str) -> Models | None: ...


class BuilderApp(MessageContext, Protocol):
    """The parts of an app that its message builder needs."""

    @property
    def conf(self) -> "Config": ...

    @property
    def router(self) -> Router: ...

    @property
    def driver(self) -> "Driver": ...

    @property
    def registry(self) -> "Mapping[str, Task[Any]]": ...

    def use_own_messages(self) -> None: ...


class MessageBuilder:
    """Turns calls into messages for one app."""

    def __init__(
        self, conf: "Config", router: Router, tasks: Mapping[str, Task[Any]],
        surroundings: "MessageContext", codec: "MessageCodec",
    ) -> None:  # fmt: skip
        """``tasks``: by name, those whose attributes are options of their calls. ``codec`` writes messages in the form
        of the app's broker."""
        self._conf = conf
        self._router = router
        self._tasks = tasks
        self._around = surroundings
        self._codec = codec
        self._origin = (0, "")
        self._options = AttributeOptions()
        # A router that is a function may look at arguments.
        by_name = not surroundings.signer.signs and router.routes_by_name
        self._prepared = PreparedMessages(conf, codec, router, self.addressed) if by_name else None

    def outgoing(self, calls: Sequence[TaskCall], lineage: Lineage) -> list[BuiltMessage]:
        """The messages of ``calls``, encoded and routed.

        A task's own attributes fill in options that neither the call nor its signature gives. Raises
        EncodeError for values the serializer cannot write or a message over ``task_message_max_bytes``.
        """
        own = self._around.own_messages
        if own is not None and own.customised:
            return own.written(self, calls, lineage)
        defaults: dict[str, Mapping[str, Any]] = {}
        # A listener may change a message before it is written.
        may_change = "message.publishing" in telemetry.listeners
        bodies = MemoEncoder(is_) if len(calls) > 1 and not may_change else None
        prepared = None if may_change else self._prepared
        origin, replies = self.origin(), ""
        found = []
        for call in calls:
            known = defaults.get(call.task)
            if known is None:
                task = self._tasks.get(call.task)
                known = defaults[call.task] = self._options.of(task) if task is not None else {}
            if not replies and not call.options.get("reply_to"):
                replies = self._around.oid
            publish = None if prepared is None else prepared.written(call, known, lineage, origin, replies, bodies)
            if publish is None:
                found.append(self._outgoing(call, {**known, **call.options}, lineage, bodies))
            else:
                make = partial(self._made, call, known, lineage)
                found.append(BuiltMessage(call.options["task_id"], publish, None, make))
        return found

    def _outgoing(
        self, call: TaskCall, options: dict[str, Any], lineage: Lineage, bodies: MemoEncoder | None
    ) -> BuiltMessage:
        message, route = self.addressed(call, options, lineage)
        return self.built(message, route, options, bodies)

    def built(
        self, message: Message, route: Route, options: Mapping[str, Any], bodies: MemoEncoder | None = None
    ) -> BuiltMessage:
        """A message with its address as bytes. Raises EncodeError."""
        policy = {**self._conf.task_publish_retry_policy, **(options.get("retry_policy") or {})}
        emit("message.publishing", message=message, queue=route.queue and route.queue.of_clients(), retry_policy=policy)
        priority = message.properties.setdefault("priority", 0) or 0
        payload = self._encode(message, options.get("serializer"), options.get("compression"), bodies)
        info = message.properties["delivery_info"]
        publish = Publish(info["exchange"], info["routing_key"], priority, payload, route.queue)
        return BuiltMessage(message.id, publish, message.headers["eta"], lambda: message)

    def _made(self, call: TaskCall, defaults: Mapping[str, Any], lineage: Lineage) -> Message:
        return self.addressed(call, {**defaults, **call.options}, lineage)[0]

    def addressed(self, call: TaskCall, options: Mapping[str, Any], lineage: Lineage) -> tuple[Message, Route]:
        """The message of a call with all of its ``options``, and its route."""
        message = self.message(call, options, lineage)
        route = self._router.route(options.get("route_name") or call.task, options, call.args, call.kwargs)
        self._address(message, route, options, lineage)
        return message, route

    def _encode(
        self, message: Message, serializer: str | None, compression: str | None, bodies: MemoEncoder | None
    ) -> bytes:
        conf = self._conf
        serializer, compression = serializer or conf.task_serializer, compression or conf.task_compression
        try:
            try:
                payload = self._written(message, serializer, compression, bodies)
            except EncodeError:
                if not self._with_plain_models(message):
                    raise
                payload = self._written(message, serializer, compression, None)
        except EncodeError as exc:
            from canvas.producer.send_errors import find_unencodable  # imported late: most values can be encoded

            place = find_unencodable(message.task, (message.args, message.kwargs, message.embed), serializer)
            # The error of the serializer is a part of this text; the program's own, in a __json__ method, is not.
            raise EncodeError(f"{message.task}[{message.id}]: {place or message.task}: {exc}") from exc.__cause__
        except ConfigurationError as exc:
            raise ConfigurationError(f"{message.task}: {exc}") from None
        limit = conf.task_message_max_bytes
        if limit and len(payload) > limit:
            raise EncodeError(
                f"{message.task}[{message.id}]: the message is {len(payload):,} bytes, more than "
                f"task_message_max_bytes ({limit:,}); send a reference instead of the data, or raise the setting"
            )
        return payload

    def _written(self, message: Message, serializer: str, compression: str | None, bodies: MemoEncoder | None) -> bytes:
        max_depth, signer = self._conf.task_message_max_depth, self._around.signer
        encoded = wire.encode(
            message, serializer=serializer, compression=compression, signer=signer, bodies=bodies, max_depth=max_depth
        )
        if (serializer != "json" or compression) and not signer.signs:
            encoded = with_links(encoded, message.embed)
        info = message.properties["delivery_info"]
        return self._codec.encode(encoded, info["exchange"], info["routing_key"], max_depth)

    def _with_plain_models(self, message: Message) -> bool:
        """Replace pydantic models among the arguments of this call and of the signatures that follow it by plain data.
        Returns whether there were any.

        A call of a task with models does so at once. Models are left where a signature was made without the task, or
        got arguments after it was made: partial arguments, items of a map.
        """
        models_of = self._around.models_of
        given = message.args, message.kwargs, message.embed
        try:
            args, kwargs = plain_arguments(models_of, message.task, message.args, message.kwargs)
            embed = plain_signatures(models_of, message.embed)
            found = (args, kwargs, embed) != given
        except RecursionError:
            return False  # no serializer writes data that contains itself, with or without models
        message.args, message.kwargs, message.embed = args, kwargs, embed
        return found

    def message(self, call: TaskCall, options: Mapping[str, Any], lineage: Lineage) -> Message:
        """The message of a call with all of its ``options``, without an address. Raises InvalidTaskError."""
        task_id = options.get("task_id") or new_id()
        eta = expires = None
        if options.get("countdown") or options.get("eta") is not None or options.get("expires") is not None:
            try:
                eta, expires = eta_text(options, self._around), expires_text(options, self._around)
            except InvalidTaskError as exc:
                raise InvalidTaskError(f"{call.task}: {exc}") from None
        stamped = options.get("stamped_headers")
        conf = self._conf
        headers = {
            "lang": "py",
            "task": call.task,
            "id": task_id,
            "shadow": options.get("shadow"),
            "eta": eta,
            "expires": expires,
            "group": options.get("group_id"),
            "group_index": options.get("group_index"),
            "retries": options.get("retries") or 0,
            "timelimit": [options.get("time_limit"), options.get("soft_time_limit")],
            "root_id": options.get("root_id") or lineage.root_id or task_id,
            "parent_id": options.get("parent_id") or lineage.parent_id,
            "argsrepr": options.get("argsrepr") or short_repr(call.args, levels=conf.task_repr_maxlevels),
            "kwargsrepr": options.get("kwargsrepr") or short_repr(call.kwargs, levels=conf.task_repr_maxlevels),
            "origin": options.get("origin") or self.origin(),
            "ignore_result": options.get("ignore_result"),
            "replaced_task_nesting": options.get("replaced_task_nesting") or 0,
            "stamped_headers": list(stamped) if stamped is not None else None,
            "stamps": _stamps(call.task, options, stamped) if stamped else {},
            **(options.get("headers") or {}),
        }
        if options.get(RUN_HEADER):
            headers[RUN_HEADER] = options[RUN_HEADER]
        embed = wire.embed_of(options, conf.task_protocol)
        message = Message(call.task, task_id, call.args, call.kwargs, embed, headers)
        message.protocol = conf.task_protocol
        message.properties = self._properties(task_id, options, stamped, expires)
        return message

    def _properties(
        self, task_id: str, options: Mapping[str, Any], stamped: Any, expires: str | None
    ) -> dict[str, Any]:
        """Options that Celery does not know travel as properties (semantics.md W6)."""
        known = NAMES if not stamped else NAMES.union(stamped)
        extra = {} if known.issuperset(options) else {key: options[key] for key in options if key not in known}
        properties = {
            "correlation_id": options.get("correlation_id") or task_id,
            "reply_to": options.get("reply_to") or self._around.oid,
            **extra,
            "delivery_mode": delivery_mode(options.get("delivery_mode") or self._conf.task_default_delivery_mode),
        }
        if expires is not None:
            left = (instant(expires) - self._around.now()).total_seconds()
            properties["expiration"] = str(max(0, round(left * 1000)))
        return properties

    def _address(self, message: Message, route: Route, options: Mapping[str, Any], lineage: Lineage) -> None:
        for name, value in (("exchange", route.exchange), ("routing_key", route.routing_key)):
            if not isinstance(value, str):
                raise InvalidTaskError(f"{message.task}: {name}: expected text; got {value!r:.100}")
        priority = options.get("priority")
        if priority is None:
            priority = lineage.priority if lineage.priority is not None else route.priority
        message.properties["delivery_info"] = {"exchange": route.exchange, "routing_key": route.routing_key}
        message.properties["priority"] = 0 if priority is None else priority

    def origin(self) -> str:
        """The header ``origin``, ``gen<pid>@<host>``; made again after a fork."""
        if self._origin[0] != (pid := os.getpid()):
            import socket

            self._origin = (pid, f"gen{pid}@{socket.gethostname()}")
        return self._origin[1]

    def due(self, options: Mapping[str, Any]) -> float | None:
        """When a message with these options is to run, as unix time; ``None`` for at once. Raises InvalidTaskError."""
        return due(options, self._around)


def _stamps(task: str, options: Mapping[str, Any], stamped: Any) -> dict[str, Any]:
    try:
        return {name: options[name] for name in stamped or ()}
    except KeyError as missing:
        text = f"{task}: stamped_headers names {missing}, but the signature has no such stamp"
        raise InvalidTaskError(text) from None
