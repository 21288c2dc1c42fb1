"""Acks that go along with one: of the messages that the only slot of a process starts next."""

from collections.abc import Callable, Collection

from canvas.model.message import Delivery
from canvas.model.settlement import Settlement
from canvas.worker.consumer.buffer import PrefetchBuffer

_AT_MOST = 32
"""Messages."""
_WITHIN = 0.005
"""Seconds of work."""


def acks_ahead(
    waiting: PrefetchBuffer,
    seconds_per_task: float,
    acked: Collection[str],
    acks_early: Callable[[Delivery], bool],
) -> list[Settlement]:
    """Acks of the first messages that wait, up to the first that may be held back. The slot waits for them, and takes
    no message meanwhile. ``acked``: tags of messages that are acked already."""
    count = min(_AT_MOST, int(_WITHIN / seconds_per_task)) if seconds_per_task > 0 else 0
    found = []
    for item in waiting.first(count):
        if not isinstance(item, Delivery) or not acks_early(item):
            break
        if item.tag not in acked:
            found.append(Settlement(item, early_ack=True))
    return found
