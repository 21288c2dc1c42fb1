"""Parts of the replies to remote control commands (protocol.md §6)."""

import resource
from collections.abc import Mapping
from datetime import date, time, timedelta
from typing import Any
from urllib.parse import urlsplit

from canvas.config.queue_forms import attributes_of
from canvas.masking import split_urls
from canvas.model.queue import Queue
from canvas.text import safe_repr

Answer = dict[str, Any]
NO_REPLY: Answer = {}
"""The value of a command that gets no reply."""


def safe(info: Answer) -> Answer:
    """A task's info with its arguments as text."""
    return {**info, "args": safe_repr(tuple(info["args"])), "kwargs": safe_repr(info["kwargs"])}


def described(task: Any, items: Any) -> str:
    """A registered task's name, with these of its attributes."""
    asked = [item for item in items if isinstance(item, str) and not item.startswith("_")]
    fields = [f"{item}={getattr(task, item)}" for item in asked if getattr(task, item, None) is not None]
    return f"{task.name} [{' '.join(fields)}]" if fields else str(task.name)


def plain(value: Any) -> Any:
    """A setting's value, in types that JSON has."""
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(one) for one in value]
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return str(value)
    return value if isinstance(value, str | int | float | bool | None) else repr(value)


def queue(queue: Queue) -> Answer:
    """A queue, as kombu describes one."""
    about = queue.declaration
    exchange = {
        "name": queue.exchange, "type": queue.exchange_type, "arguments": about.exchange_arguments,
        "durable": about.exchange_durable, "passive": False, "auto_delete": about.exchange_auto_delete,
        "delivery_mode": None, "no_declare": about.exchange_no_declare,
    }  # fmt: skip
    return {**attributes_of(queue), "name": queue.name, "exchange": exchange, "no_ack": False, "bindings": []}


def broker(url: str) -> Answer:
    """A broker's URL in parts, without its password: of several servers the first, the others as ``alternates``."""
    urls = [one for several in split_urls(url) for one in _servers(several)]
    first, *others = [_parts(one) for one in urls]
    return {
        **first,
        "insist": False, "connect_timeout": 4, "transport_options": {}, "login_method": None, "uri_prefix": None,
        "heartbeat": 0, "failover_strategy": "round-robin", "credential_provider": None,
        "alternates": [f"{one['transport']}://{one['hostname']}:{one['port']}" for one in (first, *others) if others],
    }  # fmt: skip


_OF_SEVERAL = ("sentinel", "redis+cluster", "rediss+cluster")
"""Schemes whose URLs name several servers with ``;`` between them."""


def _servers(url: str) -> list[str]:
    scheme, separator, rest = url.partition("://")
    if scheme not in _OF_SEVERAL:
        return [url]
    return [f"{scheme}{separator}{one.rpartition('://')[2]}" for one in rest.split(";")]


def _parts(url: str) -> Answer:
    parts = urlsplit(url if "://" in url else f"redis://{url}")
    _, _, port = parts.netloc.rpartition("@")[2].rpartition(":")
    return {
        "hostname": parts.hostname, "userid": parts.username, "virtual_host": parts.path.lstrip("/") or "0",
        "port": int(port) if port.isdigit() else None, "ssl": parts.scheme.startswith("rediss"),
        "transport": parts.scheme or "redis",
    }  # fmt: skip


def rusage() -> Answer:
    """The resources that this process has used."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {name.removeprefix("ru_"): getattr(used, name) for name in dir(used) if name.startswith("ru_")}
