"""From a compiled call to bytes on their way to a queue: headers, route, serialisation.

Sources: protocol.md §1.3, §2.1, §2.4; semantics.md W1–W10, T6, T8.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from functools import partial
from operator import is_
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from canvas.errors import EncodeError, InvalidTaskError
from canvas.model.compiled import TaskCall
from canvas.model.ids import new_id
from canvas.model.message import Message, Publish
from canvas.model.options import NAMES
from canvas.model.workflow_run import RUN_HEADER
from canvas.producer.routing import Route, Router
from canvas.task.pydantic_models import Models, plain_arguments, plain_signatures
from canvas.telemetry import emit, listening
from canvas.text import short_repr
from canvas.wire import codecs
from canvas.wire import task_message as wire
from canvas.wire.signing import Signer
from canvas.wire.typed_json import MemoEncoder

if TYPE_CHECKING:
    from canvas.config.config import Config
    from canvas.drivers.ports.codec import MessageCodec


class Lineage(NamedTuple):
    """What a message inherits from the task that sends it; all ``None`` outside a task."""

    root_id: str | None = None
    parent_id: str | None = None
    priority: int | None = None


class BuiltMessage(NamedTuple):
    """A message, and its bytes with their address."""

    message: Message
    publish: Publish


class MessageContext(Protocol):
    """What a client asks of its app."""

    @property
    def oid(self) -> str: ...

    @property
    def timezone(self) -> tzinfo: ...

    @property
    def signer(self) -> Signer: ...

    def now(self) -> datetime: ...

    def models_of(self, name: str) -> Models | None: ...


class MessageBuilder:
    """Turns dispatches into messages for one app; holds what is the same for all of them."""

    def __init__(
        self, conf: "Config", router: Router, defaults: Callable[[str], Mapping[str, Any]],
        surroundings: "MessageContext", codec: "MessageCodec",
    ) -> None:  # fmt: skip
        """``codec`` writes messages in the form of the app's broker."""
        self._conf = conf
        self._router = router
        self._defaults = defaults
        self._around = surroundings
        self._codec = codec
        self._origin = (0, "")

    def outgoing(self, dispatches: Sequence[TaskCall], ambient: Lineage) -> list[BuiltMessage]:
        """The messages that ``dispatches`` stand for, encoded and routed.

        A task's own attributes fill in options that neither the call nor its signature gives. Raises
        EncodeError for values the serializer cannot write or a message over ``task_message_max_bytes``.
        """
        defaults: dict[str, Mapping[str, Any]] = {}
        # A listener may change a message before it is written.
        bodies = MemoEncoder(is_) if len(dispatches) > 1 and not listening("message.publishing") else None
        found = []
        for dispatch in dispatches:
            known = defaults.get(dispatch.task)
            if known is None:
                known = defaults[dispatch.task] = self._defaults(dispatch.task)
            found.append(self._outgoing(dispatch, {**known, **dispatch.options}, ambient, bodies))
        return found

    def _outgoing(
        self, dispatch: TaskCall, options: dict[str, Any], ambient: Lineage, bodies: MemoEncoder | None
    ) -> BuiltMessage:
        message = self._message(dispatch, options, ambient)
        route = self._router.route(options.get("route_name") or dispatch.task, options, dispatch.args, dispatch.kwargs)
        self._address(message, route, options, ambient)
        emit("message.publishing", message=message)
        payload = self._encode(message, options.get("serializer"), options.get("compression"), bodies)
        info = message.properties["delivery_info"]
        priority = message.properties.get("priority") or 0
        return BuiltMessage(message, Publish(info["exchange"], info["routing_key"], priority, payload, route.queue))

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
            place = self._unwritable(message, serializer)
            raise EncodeError(f"{message.task}[{message.id}]: {place or message.task}: {exc}") from exc
        limit = conf.task_message_max_bytes
        if limit and len(payload) > limit:
            raise EncodeError(
                f"{message.task}[{message.id}]: the message is {len(payload):,} bytes, more than "
                f"task_message_max_bytes ({limit:,}); send a reference instead of the data, or raise the setting"
            )
        return payload

    def _written(self, message: Message, serializer: str, compression: str | None, bodies: MemoEncoder | None) -> bytes:
        max_depth = self._conf.task_message_max_depth
        encoded = wire.encode(
            message,
            serializer=serializer,
            compression=compression,
            signer=self._around.signer,
            bodies=bodies,
            max_depth=max_depth,
        )
        info = message.properties["delivery_info"]
        return self._codec.encode(encoded, info["exchange"], info["routing_key"], max_depth)

    def _with_plain_models(self, message: Message) -> bool:
        """Write the models among the arguments of pydantic's tasks, of this call and of what follows it, as plain data;
        whether there are any.

        A call of such a task does so at once. What is left came to a signature that was made without the task, or
        after it was made: partial arguments, items of a map.
        """
        models_of = self._around.models_of
        args, kwargs = plain_arguments(models_of, message.task, message.args, message.kwargs)
        embed = plain_signatures(models_of, message.embed)
        found = (args, kwargs, embed) != (message.args, message.kwargs, message.embed)
        message.args, message.kwargs, message.embed = args, kwargs, embed
        return found

    def _unwritable(self, message: Message, serializer: str) -> str | None:
        can_write = partial(codecs.can_write, serializer=serializer)
        from canvas.producer.encode_error import find_unencodable  # most values can be encoded

        return find_unencodable(message.task, (message.args, message.kwargs, message.embed), can_write)

    # -- headers

    def _message(self, dispatch: TaskCall, options: dict[str, Any], ambient: Lineage) -> Message:
        task_id = options.get("task_id") or new_id()
        eta = expires = None
        if options.get("countdown") or options.get("eta") is not None or options.get("expires") is not None:
            try:
                eta, expires = self._eta(options), self._expires(options)
            except InvalidTaskError as exc:
                raise InvalidTaskError(f"{dispatch.task}: {exc}") from None
        stamped, link, link_error = options.get("stamped_headers"), options.get("link"), options.get("link_error")
        conf = self._conf
        headers = {
            "lang": "py",
            "task": dispatch.task,
            "id": task_id,
            "shadow": options.get("shadow"),
            "eta": eta,
            "expires": expires,
            "group": options.get("group_id"),
            "group_index": options.get("group_index"),
            "retries": options.get("retries") or 0,
            "timelimit": [options.get("time_limit"), options.get("soft_time_limit")],
            "root_id": options.get("root_id") or ambient.root_id or task_id,
            "parent_id": options.get("parent_id") or ambient.parent_id,
            "argsrepr": options.get("argsrepr") or short_repr(dispatch.args, levels=conf.task_repr_maxlevels),
            "kwargsrepr": options.get("kwargsrepr") or short_repr(dispatch.kwargs, levels=conf.task_repr_maxlevels),
            "origin": options.get("origin") or self.origin(),
            "ignore_result": options.get("ignore_result"),
            "replaced_task_nesting": options.get("replaced_task_nesting") or 0,
            "stamped_headers": list(stamped) if stamped is not None else None,
            "stamps": _stamps(dispatch.task, options, stamped) if stamped else {},
            **(options.get("headers") or {}),
        }
        if options.get(RUN_HEADER):
            headers[RUN_HEADER] = options[RUN_HEADER]
        callbacks, chain = None if link is None else _sig_list(link), options.get("chain")
        if conf.task_protocol == 1 and chain:
            callbacks, chain = [*(callbacks or []), _linked(chain)], None
        errbacks = None if link_error is None else _sig_list(link_error)
        embed = {"callbacks": callbacks, "errbacks": errbacks, "chain": chain, "chord": options.get("chord")}
        message = Message(dispatch.task, task_id, dispatch.args, dispatch.kwargs, embed, headers)
        message.protocol = conf.task_protocol
        message.properties = self._properties(task_id, options, stamped, expires)
        return message

    def _properties(self, task_id: str, options: dict[str, Any], stamped: Any, expires: str | None) -> dict[str, Any]:
        """Options that Celery does not know travel as properties (semantics.md W6)."""
        known = NAMES if not stamped else NAMES.union(stamped)
        extra = {} if known.issuperset(options) else {key: options[key] for key in options if key not in known}
        properties = {
            "correlation_id": options.get("correlation_id") or task_id,
            "reply_to": options.get("reply_to") or self._around.oid,
            **extra,
            "delivery_mode": _delivery_mode(options.get("delivery_mode") or self._conf.task_default_delivery_mode),
        }
        if expires is not None:
            left = (_instant(expires) - self._around.now()).total_seconds()
            properties["expiration"] = str(max(0, round(left * 1000)))
        return properties

    def _address(self, message: Message, route: Route, options: dict[str, Any], ambient: Lineage) -> None:
        for name, value in (("exchange", route.exchange), ("routing_key", route.routing_key)):
            if not isinstance(value, str):
                raise InvalidTaskError(f"{message.task}: {name}: expected text; got {value!r:.100}")
        priority = options.get("priority")
        if priority is None:
            priority = ambient.priority if ambient.priority is not None else route.priority
        if priority is None:
            priority = self._conf.task_default_priority
        message.properties["delivery_info"] = {"exchange": route.exchange, "routing_key": route.routing_key}
        message.properties["priority"] = 0 if priority is None else priority

    def origin(self) -> str:
        """``gen<pid>@<host>``: who sends; made again after a fork."""
        if self._origin[0] != (pid := os.getpid()):
            import socket

            self._origin = (pid, f"gen{pid}@{socket.gethostname()}")
        return self._origin[1]

    # -- time

    def due(self, options: dict[str, Any]) -> float | None:
        """When a message with these options is to run, as unix time; ``None`` for at once. Raises InvalidTaskError."""
        eta = self._eta(options)
        return None if eta is None else _instant(eta, "eta").timestamp()

    def _eta(self, options: dict[str, Any]) -> str | None:
        countdown = options.get("countdown")
        if countdown:
            return self._after(countdown, "countdown")
        return _moment(options.get("eta"), "eta")

    def _expires(self, options: dict[str, Any]) -> str | None:
        expires = options.get("expires")
        if expires is None:
            return None
        if isinstance(expires, int | float) and not isinstance(expires, bool):
            return self._after(expires, "expires")
        return _moment(expires, "expires")

    def _after(self, seconds: Any, name: str) -> str:
        if not isinstance(seconds, int | float) or isinstance(seconds, bool):
            raise InvalidTaskError(f"{name}: expected seconds (int or float); got {seconds!r:.100}")
        try:
            return (self._around.now() + timedelta(seconds=seconds)).astimezone(self._around.timezone).isoformat()
        except (OverflowError, ValueError):
            raise InvalidTaskError(f"{name}: {seconds!r} seconds from now is not a date") from None


def _moment(value: Any, name: str) -> str | None:
    if value is None or isinstance(value, str):
        if value:
            _instant(value, name)
        return value or None
    if isinstance(value, datetime):
        return value.isoformat()
    raise InvalidTaskError(f"{name}: expected a datetime or ISO 8601 text; got {type(value).__name__} {value!r:.100}")


def _instant(text: str, name: str = "expires") -> datetime:
    """ISO 8601 text as an aware datetime; without an offset it is UTC (protocol.md §2.4)."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidTaskError(f"{name}: expected ISO 8601 text; got {text!r:.100}") from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _stamps(task: str, options: dict[str, Any], stamped: Any) -> dict[str, Any]:
    try:
        return {name: options[name] for name in stamped or ()}
    except KeyError as missing:
        raise InvalidTaskError(
            f"{task}: stamped_headers names {missing}, but the signature has no such stamp"
        ) from None


def _linked(chain: Sequence[Any]) -> dict[str, Any]:
    """A chain as nested callbacks, the only form protocol 1 has for it (protocol.md §2.2)."""
    following: dict[str, Any] | None = None
    for step in chain:
        options = dict(step["options"])
        if following is not None:
            options["link"] = [*(_sig_list(options.get("link")) or []), following]
        following = {**step, "options": options}
    assert following is not None
    return following


def _sig_list(value: Any) -> list[Any] | None:
    if not value:
        return None if value is None or value == [] else [value]
    return list(value) if isinstance(value, list | tuple) else [value]


def _delivery_mode(value: Any) -> int:
    return int({"transient": 1, "persistent": 2}.get(str(value), value))
