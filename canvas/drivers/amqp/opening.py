"""Puts the parts of the driver together."""

from collections.abc import Mapping, Sequence
from typing import Any

from canvas.drivers.amqp.broker import AmqpBroker
from canvas.drivers.amqp.bus import AmqpBus
from canvas.drivers.amqp.local.settler import LocalSettler
from canvas.drivers.amqp.local.state import LocalMessages, local_state
from canvas.drivers.amqp.options import AmqpOptions
from canvas.drivers.amqp.parts import AmqpAdmin, AmqpCoordination, AmqpRecovery, AmqpSchedules
from canvas.drivers.amqp.rpc.queue import AmqpReplyQueue
from canvas.drivers.amqp.rpc.replies import Replies
from canvas.drivers.amqp.settler import AmqpSettler
from canvas.drivers.amqp.url import Address
from canvas.drivers.ports import Driver, StoreParts
from canvas.drivers.ports.capabilities import BROKER_OF_ALL
from canvas.drivers.ports.message_state import StateParts
from canvas.drivers.ports.settler import Settler
from canvas.drivers.rpc.replies import RpcOptions
from canvas.drivers.rpc.results import RpcResults


def opened(
    addresses: Sequence[Address], options: AmqpOptions, state: StateParts | None, store: StoreParts | None,
    rpc: Mapping[str, Any] | None,
) -> Driver:  # fmt: skip
    """The driver of a broker at these addresses; otherwise as ``open_amqp``."""
    kept = state if state is not None else local_state()
    broker = AmqpBroker(addresses, options, kept)
    replies = None
    if rpc is not None:
        sent = RpcOptions(**rpc)
        replies = Replies(sent)
        store = StoreParts(RpcResults(AmqpReplyQueue(broker, sent)), None, None, frozenset())
    results, chords, runs, found = store if store is not None else (None, None, None, frozenset())
    settler: Settler
    if isinstance(kept.messages, LocalMessages):
        settler = LocalSettler(broker, kept.messages, replies)
    else:
        assert kept.settler is not None
        settler = AmqpSettler(broker, kept.settler, replies)
    return Driver(
        broker, AmqpBus(broker), AmqpAdmin(broker), AmqpCoordination(broker), AmqpRecovery(broker), results, chords,
        runs, settler, found | (BROKER_OF_ALL if state is not None else frozenset()), "amqp",
        AmqpSchedules(broker) if kept.schedules is not None else None, kept.tables,
    )  # fmt: skip
