"""Queues as settings and calls give them: names, mappings, kombu's objects."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from canvas.errors import ConfigurationError
from canvas.model.queue import Queue

_ARGUMENTS = {"expires": ("x-expires", 1000), "message_ttl": ("x-message-ttl", 1000), "max_length": ("x-max-length", 1),
              "max_length_bytes": ("x-max-length-bytes", 1), "max_priority": ("x-max-priority", 1)}  # fmt: skip
"""By kombu's attribute of a queue: AMQP's name for it, and how many of AMQP's units one of kombu's is."""


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
        value = dict(value)
        return Queue(
            value["name"],
            value.get("exchange") or "",
            value.get("routing_key") or value.get("binding_key") or value["name"],
            value.get("exchange_type") or "direct",
            _arguments(value.get),
        )
    exchange = getattr(value, "exchange", None)
    if not hasattr(value, "name"):
        raise ConfigurationError(f"task_queues: expected queues or their names; got {value!r:.100}")
    return Queue(
        value.name,
        getattr(exchange, "name", exchange) or "",
        getattr(value, "routing_key", "") or "",
        getattr(exchange, "type", None) or "direct",
        _arguments(partial(getattr, value)),
    )


def _arguments(get: Callable[[str, Any], Any]) -> dict[str, Any] | None:
    """The arguments with which kombu declares a queue: its own, and those that its attributes stand for."""
    own = get("queue_arguments", None) or {}
    values = {attribute: get(attribute, None) for attribute in _ARGUMENTS}
    named = {_ARGUMENTS[a][0]: int(value * _ARGUMENTS[a][1]) for a, value in values.items() if value is not None}
    return {**own, **named} or None


def attributes_of(arguments: Mapping[str, Any] | None) -> dict[str, Any]:
    """kombu's attributes of a queue that is declared with these arguments; None for each that they do not set."""
    given = arguments or {}
    values = {attribute: (given.get(argument), units) for attribute, (argument, units) in _ARGUMENTS.items()}
    return {a: value / units if isinstance(value, int) and units > 1 else value for a, (value, units) in values.items()}
