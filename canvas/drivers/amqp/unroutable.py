"""Reports messages that reach no queue: RabbitMQ drops them."""

import logging
import time
from collections.abc import Mapping
from typing import Any, Final

_log = logging.getLogger(__name__)
_EVERY: Final = 30.0
"""Seconds in which the messages to one address are reported once."""


class UnroutableMessages:
    """The unroutable messages of one process."""

    def __init__(self) -> None:
        self._reported: dict[tuple[str, str], float] = {}
        """By exchange and routing key, when it was reported, by this process's monotonic clock."""

    def report(self, exchange: str, routing_key: str, properties: Mapping[str, Any], why: str) -> None:
        """Report a message with these properties; ``why``: what its address lacks."""
        key, now = (exchange, routing_key), time.monotonic()
        if now < self._reported.get(key, -_EVERY) + _EVERY:
            return
        self._reported[key] = now
        headers = properties.get("application_headers") or {}
        named = f"{headers.get('task')}[{headers.get('id')}]"
        _log.warning("The message of task %s reaches no queue and is dropped: %s", named, why)
