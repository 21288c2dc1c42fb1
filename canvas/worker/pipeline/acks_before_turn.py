"""Which messages may be acked before their turn, in one call for several of them."""

import time
from typing import Protocol

from canvas.app.application import Canvas
from canvas.model.message import Delivery
from canvas.worker.consumer.revoked import Revocations
from canvas.worker.pipeline.admission import MessageDecoder, Proceed, acks_late, admit
from canvas.worker.pipeline.throttle import Throttle


class EarlyAcks(Protocol):
    """Acks messages before their tasks have ended."""

    @property
    def early_acked(self) -> set[str]:
        """The tags of the messages that are acked and whose tasks have not ended."""

    def acknowledge(self, delivery: Delivery) -> bool:
        """Ack a message whose task is about to start; False when its lease was lost."""


def may_ack_early(
    delivery: Delivery, app: Canvas, decoder: MessageDecoder, revocations: Revocations, task_throttle: Throttle
) -> bool:
    """Whether a message's task acks early, and nothing can hold the message back."""
    try:
        message = decoder.decode(delivery.payload)
        free = isinstance(admit(message, time.time() + app.clock_offset), Proceed) and not revocations.match(message)
    except Exception:  # noqa: BLE001 - the message's own turn reports what is wrong with it
        return False
    decoder.keep(delivery.payload, message)
    task = app.tasks.get(message.task)
    first_delivery = not (message.headers.get("canvas_delivery_count") or message.headers.get("canvas_worker_lost"))
    if not free or not first_delivery or task is None:
        return False
    return not acks_late(task, message) and not task_throttle.bind(task, message)
