"""Messages that a worker holds for long, where no state server keeps them.

RabbitMQ closes the channel of a worker that holds a message for longer than its ``consumer_timeout``. Before that, the
worker moves the message into a queue of its own and holds it from there. When the worker is gone, that queue has the
message again, which expires at once and returns to its first queue.
"""

from collections.abc import Iterable
from typing import Any, Final

from canvas.drivers.amqp.channels.consumer_channel import Held
from canvas.drivers.amqp.channels.publisher import Publication, frames_of
from canvas.drivers.amqp.channels.session import Session
from canvas.drivers.amqp.contents import to_content
from canvas.drivers.amqp.topology import Topology
from canvas.drivers.kombu_envelope import new_delivery_tag
from canvas.model.message import Delivery

_ARGUMENTS: Final[dict[str, Any]] = {
    "x-message-ttl": 30_000, "x-dead-letter-exchange": "", "x-expires": 86_400_000,
}  # fmt: skip
"""Of the queue. A message that the worker holds does not expire."""


def hold_anew(session: Session, topology: Topology, worker: str, leases: Iterable[Delivery]) -> None:
    """Hold copies of messages instead of these. Raises OperationalError."""
    queue = f"canvas.hold.{worker}"
    topology.declare_exchange(queue, "fanout")
    topology.declare_bound(queue, _ARGUMENTS)
    copies = {new_delivery_tag(): one for one in leases if one.tag in session.held}
    publications = [
        Publication(queue, one.queue, to_content(one.payload, message_id)) for message_id, one in copies.items()
    ]
    acks = [session.held.pop(one.tag) for one in copies.values()]
    frames = frames_of(publications, session.frame_max)
    _, arrived = session.exchange(frames, acks, (), (queue,), len(frames))
    for one in arrived:
        message_id = str(one.content.properties.get("message_id"))
        session.held[copies[message_id].tag] = Held(one.link, one.number, message_id, one.at)
