"""The parts that a consumer loop is made of."""

from collections.abc import Callable
from typing import NamedTuple

from canvas.drivers.ports import Driver
from canvas.drivers.ports.values import LeaseReply
from canvas.model.message import Delivery
from canvas.worker.consumer.prefetch import PrefetchPolicy
from canvas.worker.consumer.wait import Wait


class LoopParts(NamedTuple):
    """The parts of one loop."""

    driver: Driver
    worker: str
    queues: list[str]
    policy: PrefetchPolicy
    leased: Callable[[LeaseReply], None]
    """Called after each lease, before its messages are handed out."""
    leases: dict[str, Delivery]
    """Gets the messages that are leased, by tag."""
    wait: Wait
    """How to wait for messages."""
