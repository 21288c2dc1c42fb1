"""kombu's queues and exchanges, for settings that are written with them where kombu is not installed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote
from uuid import uuid4

TRANSIENT, PERSISTENT = 1, 2
"""AMQP's delivery modes."""


@dataclass
class Exchange:
    """An exchange of settings such as ``task_queues``."""

    name: str = ""
    type: str = "direct"
    channel: Any = None
    durable: bool = True
    auto_delete: bool = False
    delivery_mode: int | str | None = None
    arguments: Mapping[str, Any] | None = None
    no_declare: bool = False

    def __str__(self) -> str:
        return self.name


class binding:
    """One way by which an exchange reaches a queue."""

    def __init__(
        self, exchange: "Exchange | str | None" = None, routing_key: str = "",
        arguments: Mapping[str, Any] | None = None, unbind_arguments: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        self.exchange, self.routing_key = exchange, routing_key
        self.arguments, self.unbind_arguments = arguments, unbind_arguments


class Queue:
    """A queue of settings such as ``task_queues``, with kombu's arguments."""

    def __init__(
        self, name: str = "", exchange: "Exchange | str | Sequence[binding] | None" = None, routing_key: str = "",
        channel: Any = None, bindings: Sequence[binding] | None = None, on_declared: Any = None, *,
        durable: bool = True, exclusive: bool = False, auto_delete: bool = False, no_ack: bool = False,
        alias: str | None = None,
        queue_arguments: Mapping[str, Any] | None = None, binding_arguments: Mapping[str, Any] | None = None,
        consumer_arguments: Mapping[str, Any] | None = None, expires: float | None = None,
        message_ttl: float | None = None, max_length: int | None = None, max_length_bytes: int | None = None,
        max_priority: int | None = None, no_declare: bool | None = None,
    ) -> None:  # fmt: skip
        self.name, self.routing_key, self.alias = name, routing_key, alias
        if isinstance(exchange, list | tuple | set):
            exchange, bindings = None, exchange
        self.exchange = exchange if isinstance(exchange, Exchange) else Exchange(str(exchange or ""))
        self.bindings, self.on_declared = list(bindings or ()), on_declared
        self.durable, self.exclusive, self.no_ack, self.no_declare = durable, exclusive, no_ack, no_declare
        self.auto_delete = auto_delete or exclusive
        self.queue_arguments, self.binding_arguments = queue_arguments, binding_arguments
        self.consumer_arguments = consumer_arguments
        self.expires, self.message_ttl = expires, message_ttl
        self.max_length, self.max_length_bytes, self.max_priority = max_length, max_length_bytes, max_priority

    def __repr__(self) -> str:
        return f"<Queue {self.name}>"


class Broadcast(Queue):
    """A queue that every worker has a copy of, behind a fanout exchange."""

    def __init__(
        self, name: str | None = None, queue: str | None = None, unique: bool = False, auto_delete: bool = True,
        exchange: Exchange | None = None, alias: str | None = None, **options: Any,
    ) -> None:  # fmt: skip
        named = f"{queue or 'bcast'}.{uuid4()}" if unique or not queue else queue
        found = exchange or Exchange(name or "", type="fanout")
        super().__init__(named, found, auto_delete=auto_delete, alias=alias or name, **options)


def safequote(text: str, safe: str = "") -> str:
    """``text`` in the form that a part of a URL may have."""
    return quote(text, safe=safe)
