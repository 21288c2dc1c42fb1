"""Reports messages that reach no queue: brokers drop them."""

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

    def report_unbound(self, exchange: str, routing_key: str, headers: Mapping[str, Any]) -> None:
        """Report a message that no binding of its exchange takes."""
        self.report(
            exchange, routing_key, headers, f"exchange {exchange!r} has no queue for the routing key {routing_key!r}"
        )

    def report(self, exchange: str, routing_key: str, headers: Mapping[str, Any], why: str) -> None:
        """Report a message with these headers; ``why``: what its address lacks."""
        key, now = (exchange, routing_key), time.monotonic()
        if now < self._reported.get(key, -_EVERY) + _EVERY:
            return
        self._reported[key] = now
        named = f"{headers.get('task')}[{headers.get('id')}]"
        _log.warning("The message of task %s reaches no queue and is dropped: %s", named, why)
