"""The short ways of a round: the acks that go with another's, and how often each short way is taken.

A driver takes more: it leases a message as it is written, has it decoded meanwhile, ends a chord with its last part.
"""

from collections.abc import Callable, Collection

from canvas.drivers.ports.values import SettleReply
from canvas.model.message import Delivery
from canvas.model.settlement import Settlement
from canvas.telemetry import emit
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


def report_round(settled: SettleReply, acked_ahead: int) -> None:
    """Report a round, and how often each of the short ways was taken in it."""
    leased = settled.leased
    emit(
        "batch.settled",
        settled=len(settled.verdicts),
        leased=len(settled.deliveries),
        passed_through=leased.passed_through if leased is not None else 0,
        chords_ended=sum(len(verdict.ended) for verdict in settled.verdicts),
        acked_ahead=acked_ahead,
    )
