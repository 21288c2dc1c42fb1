"""Publish as ``retry`` and ``retry_policy`` say (Celery's ``task_publish_retry`` and its policy)."""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from canvas.drivers.base import Broker
from canvas.errors import OperationalError
from canvas.model.message import Publish


def publish(broker: Broker, messages: Sequence[Publish], retry: bool, policy: Mapping[str, Any] | None) -> None:
    """Publish. Without a policy the driver tries again as it sees fit, with ``retry`` off not at all.

    Raises OperationalError when the last try failed.
    """
    if not retry or policy is None:
        broker.publish(messages, retry)
        return
    for delay in delays(policy):
        try:
            return broker.publish(messages, False)
        except OperationalError:
            time.sleep(delay)
    broker.publish(messages, False)


async def apublish(broker: Broker, messages: Sequence[Publish], retry: bool, policy: Mapping[str, Any] | None) -> None:
    """``publish`` on an event loop."""
    import asyncio

    if not retry or policy is None:
        await broker.apublish(messages, retry)
        return
    for delay in delays(policy):
        try:
            return await broker.apublish(messages, False)
        except OperationalError:
            await asyncio.sleep(delay)
    await broker.apublish(messages, False)


def delays(policy: Mapping[str, Any]) -> Iterator[float]:
    """Seconds before each further try: ``interval_start`` growing by ``interval_step`` up to ``interval_max``.

    ``max_retries`` of them; for ever where that is ``None``.
    """
    left = policy.get("max_retries", 3)
    delay, step, most = (policy.get(f"interval_{name}", value) for name, value in _INTERVALS.items())
    while left is None or left > 0:
        yield min(delay, most)
        delay += step
        left = None if left is None else left - 1


_INTERVALS = {"start": 0.0, "step": 0.2, "max": 1.0}
