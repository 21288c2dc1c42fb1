"""Settlements whose results are messages: Redis commits them with the ack and the task's other messages."""

from collections.abc import Sequence

from canvas.drivers.ports.values import Lease, SettleReply
from canvas.drivers.redis.broker import RedisBroker
from canvas.drivers.redis.rpc.queue import RedisReplyQueue
from canvas.drivers.two_step import TwoStepSettler
from canvas.model.message import Publish
from canvas.model.settlement import ChordDispatch, Settlement


class RpcSettler(TwoStepSettler):
    """The Settler of ``canvas.drivers.ports`` for a Redis broker and ``rpc://`` results."""

    def __init__(self, broker: RedisBroker, queue: RedisReplyQueue) -> None:
        super().__init__(broker, None, None)
        self._queue = queue

    def settle(
        self, settlements: Sequence[Settlement], lease: Lease | None = None, ends: Sequence[ChordDispatch] = ()
    ) -> SettleReply:
        replies: list[Publish] = []
        answered = []
        for settlement in settlements:
            own = self._queue.publishes(settlement.stores, settlement.delivery)
            replies += own
            answered.append(settlement._replace(stores=(), publishes=[*settlement.publishes, *own]))
        reply = super().settle(answered, lease, ends)
        self._queue.limit(replies)
        return reply
