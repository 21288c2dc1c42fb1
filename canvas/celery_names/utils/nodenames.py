"""Names of ``celery.utils.nodenames``: nodes and their own queues."""

import os
import socket
from collections.abc import Sequence
from functools import cache
from typing import Any

from canvas.celery_names.utils.text import simple_format
from canvas.model.queue import Queue

gethostname = cache(socket.gethostname)
NODENAME_DEFAULT = "celery"


def worker_direct(hostname: Any) -> Any:
    """The queue of one worker, for ``worker_direct=True``; a queue is returned as it is."""
    if not isinstance(hostname, str):
        return hostname
    return Queue(f"{hostname}.dq2", "C.dq2", hostname)


def nodename(name: str, hostname: str) -> str:
    """The name of a node: ``name@hostname``."""
    return f"{name}@{hostname}"


def anon_nodename(hostname: str | None = None, prefix: str = "gen") -> str:
    """The name of this process as a sender: ``gen<pid>@<host>``."""
    return nodename(f"{prefix}{os.getpid()}", hostname or gethostname())


def nodesplit(name: str) -> Sequence[str | None]:
    """A node's name as name and host; the name is ``None`` where there is no ``@``."""
    return name.split("@", 1) if "@" in name else (None, name)


def default_nodename(hostname: str, default_name: str = NODENAME_DEFAULT) -> str:
    """The name of a node on ``hostname``; this machine's, without one. ``default_name`` stands before a bare host."""
    name, host = nodesplit(hostname or "")
    return nodename(name or default_name, host or gethostname())


def host_format(text: str, host: str | None = None, name: str | None = None, **extra: Any) -> str:
    """``text`` with ``%h``, ``%n`` and ``%d`` replaced by the host's full name, its first part and its domain."""
    host = host or gethostname()
    short, _, domain = host.partition(".")
    return simple_format(text, {"h": host, "n": name or short, "d": domain, **extra})


def node_format(text: str, name: str, **extra: Any) -> str:
    """``host_format`` for the node ``name``; ``%p`` is its whole name."""
    short, host = nodesplit(name)
    return host_format(text, host, short or NODENAME_DEFAULT, p=name, **extra)
