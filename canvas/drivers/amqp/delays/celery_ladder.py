"""Celery's native delayed delivery: 28 queues whose delays are powers of two seconds (protocol.md §4.2).

A message passes the queues of those bits that are set in its delay, which its routing key begins with. Celery sends it
to the exchange of the highest of the 28 bits, and RabbitMQ passes it on from exchange to exchange. It costs RabbitMQ a
tenth to send it to the exchange of the highest bit that is set.
"""

import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from canvas.drivers.amqp.topology import Topology
from canvas.model.message import Publish
from canvas.model.queue import Queue
from canvas.wire.moments import aware

DELIVERY: Final = "celery_delayed_delivery"
_BITS: Final = 28


class CeleryLadder:
    """The queues, for apps with a quorum queue: Celery uses them for these alone."""

    def __init__(self, topology: Topology, queue_type: str) -> None:
        """``queue_type``: the setting ``broker_native_delayed_delivery_queue_type``."""
        self._topology = topology
        self._queue_type = queue_type

    def serve(self, queues: Sequence[Queue]) -> None:
        """Make the queues, and bind a worker's own queues behind them, as Celery's workers do.

        It takes a quorum queue, and a queue whose exchange is not direct: Celery sends to no other queue this way.
        """
        behind = [queue.filled() for queue in queues if queue.exchange_type != "direct"]
        if not behind or not any(map(_is_quorum, queues)):
            return
        self._make()
        for queue in behind:
            key = queue.routing_key if queue.routing_key.startswith("#") else f"#.{queue.routing_key}"
            self._topology.bind_exchange(queue.exchange, DELIVERY, key)
            self._topology.bind(queue.name, queue.exchange, key)

    def _make(self) -> None:
        topology = self._topology
        for exchange in (*map(_level, range(_BITS)), DELIVERY):
            topology.declare_exchange(exchange, "topic")
        for bit in range(_BITS):
            name, passed = _level(bit), "*." * (_BITS - 1 - bit)
            topology.declare_bound(name, self._arguments(bit), f"{passed}1.#")
            topology.bind_exchange(_level(bit - 1) if bit else DELIVERY, name, f"{passed}0.#")

    def _arguments(self, bit: int) -> dict[str, Any]:
        found: dict[str, Any] = {
            "x-queue-type": self._queue_type, "x-overflow": "reject-publish", "x-message-ttl": 1000 << bit,
            "x-dead-letter-exchange": _level(bit - 1) if bit else DELIVERY,
        }  # fmt: skip
        return found | ({"x-dead-letter-strategy": "at-least-once"} if self._queue_type == "quorum" else {})

    def address(self, message: Publish, headers: dict[str, Any]) -> tuple[str, str]:
        """Exchange and routing key of a message with these headers: its own, if it is not to wait, or if no worker has
        made the queues."""
        own = message.exchange, message.routing_key
        queue = message.queue
        if not message.exchange or queue is None or queue.exchange_type == "direct" or not _is_quorum(queue):
            return own
        seconds = _seconds_until(headers.get("eta"))
        if not 0 < seconds < 1 << _BITS or not self._topology.has_exchange(_level(_BITS - 1)):
            return own
        return _level(seconds.bit_length() - 1), f"{'.'.join(f'{seconds:0{_BITS}b}')}.{message.routing_key}"


def _level(bit: int) -> str:
    return f"celery_delayed_{bit}"


def _is_quorum(queue: Queue) -> bool:
    return (queue.arguments or {}).get("x-queue-type") == "quorum"


def _seconds_until(eta: Any) -> int:
    """Whole seconds until a time in the header ``eta``; 0 where there is none. A worker waits for the rest."""
    if not isinstance(eta, str):
        return 0
    try:
        moment = datetime.fromisoformat(eta)
    except ValueError:
        return 0
    return int(aware(moment).timestamp() - time.time())
