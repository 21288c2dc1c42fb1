"""Publish as ``retry`` and ``retry_policy`` say (Celery's ``task_publish_retry`` and its policy)."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from canvas.drivers.base import Broker
from canvas.errors import OperationalError
from canvas.model.message import Publish


def publish(call: Callable[[bool], None], retry: bool, policy: Mapping[str, Any] | None) -> None:
    """Make a driver's ``call``, which is told whether to try again by itself, as it sees fit: it is without a policy,
    unless ``retry`` is off.

    Raises OperationalError when the last try failed.
    """
    if not retry or policy is None:
        call(retry)
        return
    for delay in delays(policy):
        try:
            return call(False)
        except OperationalError:
            time.sleep(delay)
    call(False)


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
