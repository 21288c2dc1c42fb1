"""Queues as settings and calls give them: names, mappings, kombu's objects."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from canvas.errors import ConfigurationError
from canvas.model.queue import Binding, Declaration, Exchange, Queue

_ARGUMENTS = {"expires": ("x-expires", 1000), "message_ttl": ("x-message-ttl", 1000), "max_length": ("x-max-length", 1),
              "max_length_bytes": ("x-max-length-bytes", 1), "max_priority": ("x-max-priority", 1)}  # fmt: skip
"""By kombu's attribute of a queue: AMQP's name for it, and how many of AMQP's units one of kombu's is."""
_BROADCAST = "Broadcast"
"""The name of kombu's class, and of the one that canvas serves where kombu is not installed."""


def of_type(queue_type: str | None) -> dict[str, Any] | None:
    """The arguments of queues of a type. Raises ConfigurationError for an unknown one."""
    if queue_type not in (None, "", "classic", "quorum"):
        raise ConfigurationError(f"a queue's type is 'classic' or 'quorum'; got {queue_type!r:.80}")
    return {"x-queue-type": "quorum"} if queue_type == "quorum" else None


def queues_of(queues: Any) -> list[Queue]:
    """The queues of ``task_queues``, whatever form it has. Raises ConfigurationError.

    The routing key of one that is not a queue of kombu's is its name, unless it has another.
    """
    if not queues:
        return []
    if isinstance(queues, str):
        raise ConfigurationError(f"task_queues: expected a list of queues or of their names; got {queues!r:.100}")
    if isinstance(queues, Mapping):
        queues = [{**dict(options), "name": name} for name, options in queues.items()]
    return [queue_of({"name": one} if isinstance(one, str) else one) for one in queues]


def queue_of(value: Any) -> Queue:
    """A queue from a name, a mapping, a Queue, or anything with kombu's attributes."""
    if isinstance(value, Queue):
        return value
    if isinstance(value, str):
        return Queue(value)
    if isinstance(value, Mapping):
        return _from_mapping(value)
    if not hasattr(value, "name"):
        raise ConfigurationError(f"task_queues: expected queues or their names; got {value!r:.100}")
    exchange = _exchange_of(getattr(value, "exchange", None))
    get = partial(getattr, value)
    declaration = Declaration(
        _flag(get("durable", None), True), _flag(get("auto_delete", None), False), bool(get("exclusive", False)),
        bool(get("no_declare", False)), get("alias", None) or "", get("consumer_arguments", None) or None,
        exchange.durable, exchange.auto_delete, exchange.arguments, exchange.no_declare,
        get("binding_arguments", None) or None, any(base.__name__ == _BROADCAST for base in type(value).__mro__),
        tuple(map(_binding_of, get("bindings", None) or ())),
    )  # fmt: skip
    return Queue(value.name, exchange.name, get("routing_key", "") or "", exchange.type, _arguments(get), declaration)


def _from_mapping(value: Mapping[str, Any]) -> Queue:
    def first(*names: str, otherwise: bool) -> bool:
        return next((bool(value[name]) for name in names if value.get(name) is not None), otherwise)

    exclusive = bool(value.get("exclusive"))
    declaration = Declaration(
        first("queue_durable", "durable", otherwise=True),
        exclusive or first("queue_auto_delete", "auto_delete", otherwise=False), exclusive,
        bool(value.get("no_declare")), value.get("alias") or "", value.get("consumer_arguments"),
        first("exchange_durable", "durable", otherwise=True),
        first("exchange_auto_delete", "auto_delete", otherwise=False), value.get("exchange_arguments"), False,
        value.get("binding_arguments"), False, tuple(map(_binding_of, value.get("bindings") or ())),
    )  # fmt: skip
    return Queue(
        value["name"],
        value.get("exchange") or "",
        value.get("binding_key") or value.get("routing_key") or value["name"],
        value.get("exchange_type") or "direct",
        _arguments(value.get),
        declaration,
    )


def _exchange_of(value: Any) -> Exchange:
    if value is None or isinstance(value, str):
        return Exchange(value or "")
    get = partial(getattr, value)
    return Exchange(
        get("name", "") or "", get("type", None) or "direct", _flag(get("durable", None), True),
        _flag(get("auto_delete", None), False), get("arguments", None) or None, bool(get("no_declare", False)),
    )  # fmt: skip


def _binding_of(value: Any) -> Binding:
    return Binding(_exchange_of(value.exchange), value.routing_key or "", getattr(value, "arguments", None) or None)


def _flag(value: Any, otherwise: bool) -> bool:
    return otherwise if value is None else bool(value)


def _arguments(get: Callable[[str, Any], Any]) -> dict[str, Any] | None:
    """The arguments with which kombu declares a queue: its own, and those that its attributes stand for."""
    own = get("queue_arguments", None) or {}
    values = {attribute: get(attribute, None) for attribute in _ARGUMENTS}
    named = {_ARGUMENTS[a][0]: int(value * _ARGUMENTS[a][1]) for a, value in values.items() if value is not None}
    return {**own, **named} or None


def attributes_of(queue: Queue) -> dict[str, Any]:
    """kombu's attributes of a queue, beside its name, exchange and bindings; None for each that it does not set."""
    about, given = queue.declaration, queue.arguments or {}
    values = {attribute: (given.get(argument), units) for attribute, (argument, units) in _ARGUMENTS.items()}
    timed = {a: v / units if isinstance(v, int) and units > 1 else v for a, (v, units) in values.items()}
    return {
        "queue_arguments": queue.arguments, **timed, "routing_key": queue.routing_key, "durable": about.durable,
        "exclusive": about.exclusive, "auto_delete": about.auto_delete, "alias": about.alias or None,
        "no_declare": about.no_declare or None, "binding_arguments": about.binding_arguments,
        "consumer_arguments": about.consumer_arguments,
    }  # fmt: skip
