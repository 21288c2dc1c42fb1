"""Whether a Redis server takes writes."""

from typing import Final

from canvas.drivers.redis.connection.client import RedisClient
from canvas.errors import BrokerError

_OF_ALL_WRITES: Final = ("OOM ", "MISCONF ", "READONLY ", "NOREPLICAS ")
"""Codes of errors with which a server refuses each command that writes: it has no memory left, cannot save its data, is
a replica, or has lost its replicas."""


def refusal_of(link: RedisClient, key: str) -> str | None:
    """The error with which the server refuses to write; ``None`` if it takes writes. ``key``: one that does not exist,
    and does not exist afterwards."""
    try:
        # The server refuses this command like any other that writes, although an empty text changes nothing.
        link.command("SETRANGE", key, 0, "", retry=False)
    except BrokerError as exc:
        text = str(exc)
        if any(code in text for code in _OF_ALL_WRITES):
            return text
        raise
    return None
