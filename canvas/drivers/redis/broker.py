"""Queues and leases on Redis, in kombu's own keys (protocol.md §1)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from canvas.drivers.kombu_envelope import ENVELOPE
from canvas.drivers.ports import BrokerParts
from canvas.drivers.ports.capabilities import BROKER_OF_ALL
from canvas.drivers.ports.codec import MessageCodec
from canvas.drivers.ports.values import Lease, LeaseReply
from canvas.drivers.redis.admin import RedisAdmin
from canvas.drivers.redis.bindings import Bindings
from canvas.drivers.redis.bus import RedisBus
from canvas.drivers.redis.connection.client import RedisClient
from canvas.drivers.redis.coordination import RedisCoordination
from canvas.drivers.redis.idempotent_calls import IdempotentCalls
from canvas.drivers.redis.keys import BrokerKeys
from canvas.drivers.redis.lease_recovery import LeaseRecovery
from canvas.drivers.redis.queue_wait import Home, QueueWait
from canvas.drivers.redis.scripts.arguments import (
    BYTES_AT_ONCE,
    DEAD_LETTERS_KEPT,
    PUSHED_AT_ONCE,
    ScriptArguments,
    pack,
    pack_each,
)
from canvas.drivers.redis.scripts.replies import accepted, verdict_of
from canvas.drivers.redis.scripts.settle_call import ResultSide, SettleBatch, SettleCall, SourceOrder
from canvas.drivers.retry_policy import Delays
from canvas.drivers.tags import worker_of, worker_of_tag
from canvas.errors import ConfigurationError
from canvas.model.message import Delivery, Publish
from canvas.model.queue import OWN_QUEUE, Queue
from canvas.model.settlement import DelayedPublish, Settlement, SettleResult

Pushes: TypeAlias = dict[str, list[bytes]]
"""The payloads to push, by the key of the list."""

FULL_LIST = 100
"""Messages in a list, for each worker, that make it full: no more delayed messages are moved into it."""
HELD_BACK_FOR = 2.0
"""Seconds after which messages that are due are late: each call moves some of them into a full list too."""


class RedisBroker:
    """The Broker of ``canvas.drivers.ports``, and the broker's half of a settler in two steps."""

    codec: MessageCodec = ENVELOPE
    keys_type = BrokerKeys
    recovery_type = LeaseRecovery
    shares_waits = True
    retries_looks = True
    """Whether it asks for leases, and sends heartbeats, again while the server is away for a moment."""

    def __init__(
        self, link: RedisClient, options: Mapping[str, Any], waiting: QueueWait | None = None,
        numbers: dict[str, int] | None = None,
    ) -> None:  # fmt: skip
        """``waiting`` and ``numbers``: of brokers whose messages the same workers lease; by worker, how many tags of
        leases it has had."""
        self.link = link
        self.keys = self.keys_type(options, link.address.db)
        order = _order(options.get("queue_order_strategy"))
        self.round_robin = order == "round_robin"
        self.bindings = Bindings(link, self.keys)
        self._waiting = waiting or QueueWait()
        self._home = Home(link, self.keys)
        self.packing = ScriptArguments(self.keys, None, self.bindings)
        self.guards = IdempotentCalls(link, self.keys)
        self._recovery = self.recovery_type(
            link, self.keys, self.bindings, self._waiting, float(options.get("visibility_timeout") or 3600)
        )
        self._recovery.retries_heartbeats = self.retries_looks
        self._no_results = ResultSide(str(link.address.db), self.keys.no_chords)
        sources = SourceOrder(self.keys, self._waiting, order == "sorted")
        self.settling = SettleCall(
            link, self.keys, sources, self._waiting, self._recovery.give_back_tags, {} if numbers is None else numbers
        )

    def parts(self) -> BrokerParts:
        """The parts of a driver that share this broker's connections."""
        coordination = RedisCoordination(self.link, self.keys, self.packing, self.guards)
        bus = RedisBus(self.link, self.keys, self.bindings)
        admin = RedisAdmin(self.link, self.keys, self.packing, self.guards, self.bindings)
        return BrokerParts(self, bus, admin, coordination, self._recovery, BROKER_OF_ALL)

    def declare(self, queues: Sequence[Queue]) -> None:
        self.bindings.declare(queues)

    def publish(self, messages: Sequence[Publish], delays: Delays = None) -> None:
        if len(messages) == 1:
            lists = self.packing.lists_of(messages[0])
            if lists:
                self.guards.call("publish", lists, ["1", messages[0].payload] * len(lists), delays)
            return
        self._push_all(self._pushes(messages), delays)

    async def apublish(self, messages: Sequence[Publish], delays: Delays = None) -> None:
        pushes = list(self._pushes(messages))
        if len(pushes) == 1:
            await self.guards.acall("publish", *pushes[0], delays)
        elif pushes:
            # Imported late: a program on an event loop has imported it already; all others do without.
            import asyncio

            # A caller that is cancelled between two calls leaves none of them out.
            await asyncio.to_thread(self._push_all, pushes, delays)

    def _push_all(self, pushes: Iterable[tuple[list[str], list[Any]]], delays: Delays) -> None:
        for lists, counted in pushes:
            self.guards.call("publish", lists, counted, delays)

    def _pushes(self, messages: Sequence[Publish]) -> Iterable[tuple[list[str], list[Any]]]:
        """The lists, and the payloads of each after their number, in calls that are small enough not to block the
        server for long."""
        if len(messages) == 1:
            lists = self.packing.lists_of(messages[0])
            return ((lists, ["1", messages[0].payload] * len(lists)),) if lists else ()
        return ((list(pushes), _counted(pushes)) for pushes in self._divided(messages))

    def _divided(self, messages: Sequence[Publish]) -> Iterator[Pushes]:
        pushes: Pushes = {}
        room, places = BYTES_AT_ONCE, PUSHED_AT_ONCE
        for message in messages:
            for key in self.packing.lists_of(message):
                pushes.setdefault(key, []).append(message.payload)
                room, places = room - len(message.payload), places - 1
                if room <= 0 or not places:
                    yield pushes
                    pushes, room, places = {}, BYTES_AT_ONCE, PUSHED_AT_ONCE
        if pushes:
            yield pushes

    def lease(self, request: Lease) -> list[Delivery]:
        return self.settling.make(SettleBatch(request.worker), request, self._no_results).leased.deliveries

    def wait(self, worker: str, queues: Sequence[str], timeout: float) -> int:
        return self._waiting.wait(worker, dict.fromkeys(self.lists_in_turn(queues), self._home), timeout)

    def lists_in_turn(self, queues: Sequence[str]) -> list[str]:
        """The lists of queues, the most urgent of all first."""
        return [self.keys.queue_list(queue, step) for step in self.keys.steps for queue in queues]

    def check(self) -> None:
        self.link.command("PING")

    def wake(self) -> None:
        self._waiting.interrupt()

    def stop_waiting(self, worker: str) -> None:
        self._waiting.end(worker)

    def release_prefetched(self, worker: str) -> int:
        return self._waiting.release_prefetched(worker)

    def release(self, deliveries: Sequence[Delivery]) -> int:
        if not deliveries:
            return 0
        given = [[d.tag, d.payload, self.packing.list_of(d.queue, d.payload)] for d in deliveries]
        return self._recovery.give_back(worker_of_tag(deliveries[0].tag), given)

    def fences(self, settlements: Sequence[Settlement]) -> list[bool]:
        """Whether the fence of each settlement holds now."""
        places = [(number, s) for number, s in enumerate(settlements) if s.delivery is not None and s.fence != "none"]
        looks = [(number, look) for number, s in places for look in self._looks(s)]
        holds = [True] * len(settlements)
        for number, _ in places:
            holds[number] = False
        replies = self.link.pipeline([look for _, look in looks], retry=self.retries_looks) if looks else ()
        for (number, _), found in zip(looks, replies, strict=True):
            holds[number] = holds[number] or bool(found)
        return holds

    def _looks(self, settlement: Settlement) -> list[tuple[str, ...]]:
        """Commands that look for the tag of a settlement: it is in one of these hashes if its fence holds."""
        assert settlement.delivery is not None
        tag = settlement.delivery.tag
        leased, early_acked = (
            ("HEXISTS", self.keys.unacked, tag),
            ("HEXISTS", self.keys.early_acked(worker_of_tag(tag)), tag),
        )
        if settlement.fence == "early_acked":
            return [early_acked]
        return [leased, early_acked] if settlement.early_ack else [leased]

    def settle(self, settlements: Sequence[Settlement], lease: Lease | None) -> tuple[list[SettleResult], LeaseReply]:
        mine = [
            settlement._replace(
                stores=[], chord_starts=[], chord_extensions=[], keeps=[], parts=[], mail=[], speculative=[], runs=[]
            )
            for settlement in settlements
        ]
        batch = SettleBatch(worker_of(settlements, lease), pack_each(mine, self.packing.settlement))
        verdicts, _, leased = self.settling.make(batch, lease, self._no_results)
        return [verdict_of(verdict) for verdict in verdicts], leased

    def publish_once(self, guard: str, publishes: Sequence[Publish], deferrals: Sequence[DelayedPublish]) -> bool:
        """Send messages unless the guard shows that an earlier call did. Raises RefusedError."""
        packed = pack(self.packing.sent(publishes, deferrals))
        keys = [self.keys.dispatched(guard), self.keys.delayed, self.keys.delayed_messages]
        return bool(accepted(self.link.call("publish_guarded", keys, [packed]))[0])

    def enqueue_due(self, limit: int) -> int:
        keys = self.keys
        letters = [keys.dead_letters(""), DEAD_LETTERS_KEPT]
        arguments = [limit, keys.prefix, *letters, keys.sep, FULL_LIST, HELD_BACK_FOR, OWN_QUEUE]
        return int(self.link.call("enqueue_due", [keys.delayed, keys.delayed_messages, keys.workers], arguments))

    def next_due(self) -> float | None:
        found = self.link.command("ZRANGE", self.keys.delayed, 0, 0, "WITHSCORES")
        return (
            float(found[0][1] if isinstance(found[0], list | tuple) else found[1]) - self.link.time() if found else None
        )

    def close(self) -> None:
        self._waiting.close()
        self.link.close()


def _order(given: Any) -> str:
    strategy = given or "round_robin"
    if strategy not in ("round_robin", "priority", "sorted"):
        raise ConfigurationError(f"queue_order_strategy: expected round_robin, priority or sorted; got {given!r:.100}")
    return str(strategy)


def _counted(pushes: Pushes) -> list[Any]:
    """The payloads of each list, after their number."""
    return [word for payloads in pushes.values() for word in (len(payloads), *payloads)]
