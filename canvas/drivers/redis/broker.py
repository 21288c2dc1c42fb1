"""Queues and leases on Redis, in kombu's own keys (protocol.md §1)."""

import json
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from typing import Any, TypeAlias

import msgpack

from canvas.drivers.ports.values import Binding, DeadLetter, HeartbeatReply, InFlight, Lease, Scheduled
from canvas.drivers.redis.bindings import Bindings
from canvas.drivers.redis.bus import ReplyQueue, Subscription, reply_queue, subscribed
from canvas.drivers.redis.connection.client import RedisClient
from canvas.drivers.redis.idempotent_calls import IdempotentCalls
from canvas.drivers.redis.keys import BrokerKeys
from canvas.drivers.redis.lease_recovery import STARTED_FOR, LeaseRecovery
from canvas.drivers.redis.limiter import Limiter
from canvas.drivers.redis.queue_wait import QueueWait
from canvas.drivers.redis.scripts.arguments import (
    DEAD_LETTERS_KEPT,
    NOTHING,
    PUSHED_AT_ONCE,
    Packed,
    ScriptArguments,
    pack,
    pack_each,
    worker_of_tag,
)
from canvas.drivers.redis.scripts.passthrough import LeaseSources, PassThrough
from canvas.drivers.redis.scripts.replies import accepted, text, verdict_of, with_refused
from canvas.drivers.retry_policy import Delays
from canvas.errors import ConfigurationError
from canvas.model.message import Delivery, Publish
from canvas.model.settlement import DelayedPublish, Orphan, Settlement, SettleResult, UniqueLock

_BYTES_AT_ONCE = 1 << 20
Pushes: TypeAlias = dict[str, list[bytes]]
"""By list, its payloads."""
_CLOCKS_AGREE_WITHIN = 2.0
"""Seconds. An answer takes time too."""
_REPLIES_KEPT = 300
"""Seconds."""
_LOOKED_AT = 1_000
"""Deferred messages that one call looks at."""


class RedisBroker:
    """The Broker of ``canvas.drivers.ports``, and the broker's half of a stepwise settler."""

    def __init__(self, link: RedisClient, options: Mapping[str, Any]) -> None:
        self.link = link
        self.keys = BrokerKeys(options, link.address.db)
        order = _order(options.get("queue_order_strategy"))
        self.takes_turns, self._sorted = order == "round_robin", order == "sorted"
        self._bindings = Bindings(link, self.keys)
        self._waiting = QueueWait(link, self.keys)
        self.packing = ScriptArguments(self.keys, None, self.lists_of)
        self.guards = IdempotentCalls(link, self.keys)
        self._turns = Limiter(link, self.keys)
        self._restore = LeaseRecovery(link, self.keys, self._bindings, float(options.get("visibility_timeout") or 3600))
        self._numbers: dict[str, int] = {}
        self._doubtful: dict[str, list[str]] = {}
        self.revision = 0
        self.clock_offset = 0.0

    # -- sending

    def declare(self, bindings: Sequence[Binding]) -> None:
        self._bindings.declare(bindings)

    def lists_of(self, message: Publish) -> list[str]:
        """The lists that a message goes into."""
        step = self.keys.step_of(message.priority)
        if not message.exchange:
            return [self.keys.queue_list(message.routing_key, step)]
        return [
            self.keys.queue_list(queue, step) for queue in self._bindings.queues(message.exchange, message.routing_key)
        ]

    def publish(self, messages: Sequence[Publish], delays: Delays = None) -> None:
        for pushes in self._pushes(messages):
            self.guards.call("publish", list(pushes), _counted(pushes), delays)

    async def apublish(self, messages: Sequence[Publish], delays: Delays = None) -> None:
        for pushes in self._pushes(messages):
            await self.guards.acall("publish", list(pushes), _counted(pushes), delays)

    def _pushes(self, messages: Sequence[Publish]) -> Iterator[Pushes]:
        """What goes into which list, in calls of a size that a server does not stall for."""
        pushes: Pushes = {}
        room, places = _BYTES_AT_ONCE, PUSHED_AT_ONCE
        for message in messages:
            for key in self.lists_of(message):
                pushes.setdefault(key, []).append(message.payload)
                room, places = room - len(message.payload), places - 1
                if room <= 0 or not places:
                    yield pushes
                    pushes, room, places = {}, _BYTES_AT_ONCE, PUSHED_AT_ONCE
        if pushes:
            yield pushes

    def broadcast(self, exchange: str, payload: bytes, routing_key: str = "") -> None:
        self.link.command("PUBLISH", self.keys.channel(exchange, routing_key), payload)

    def subscribe(self, exchange: str, topics: bool = False) -> AbstractContextManager[Subscription]:
        return subscribed(self.link, self.keys.channel(exchange, "*" if topics else ""))

    def reply(self, exchange: str, routing_key: str, payload: bytes) -> None:
        self._bindings.forget(exchange)
        lists = self.lists_of(Publish(exchange, routing_key, 0, payload))
        # Who asked may be dead by now, and nobody else looks into its queue.
        self.link.pipeline(
            [words for key in lists for words in (("LPUSH", key, payload), ("EXPIRE", key, _REPLIES_KEPT))]
        )

    def replies(self, exchange: str, routing_key: str) -> AbstractContextManager[ReplyQueue]:
        return reply_queue(self.link, self.keys, exchange, routing_key)

    # -- leasing

    def lease(self, request: Lease) -> list[Delivery]:
        return self.exchange(request.worker, NOTHING, request, self._db, None)[1]

    @property
    def _db(self) -> str:
        return str(self.link.address.db)

    def exchange(
        self,
        worker: str,
        settlements: Packed,
        lease: Lease | None,
        result_db: str,
        ready: tuple[str, str] | None,
        firings: Packed = NOTHING,
        sources: LeaseSources | None = None,
        carried: PassThrough | None = None,
    ) -> tuple[list[Any], list[Delivery], list[Any]]:
        """One call of settle.lua: packed settlements and firings in, verdicts, deliveries, verdicts on firings out.

        ``sources`` are those of ``lease``; ``carried``: the message that stands beside the settlements.
        """
        if worker in self._doubtful:
            self._settle_doubt(worker)
        lists, names = sources or self.sources(lease)
        keys = self.keys
        limit = lease.limit if lease is not None else 0
        number = self._numbers.get(worker, 0)
        self._numbers[worker] = number + limit
        (packed, bad), (chords, bad_chords) = settlements, firings
        arguments = [self._db, result_db, packed, limit, f"canvas:{worker}:", number, chords]
        ready_key, ready_index = ready or ("canvas:chords:ready", "canvas:chords:ready_since")
        script_keys = [
            keys.unacked,
            keys.unacked_index,
            keys.leases(worker),
            keys.delayed,
            keys.delayed_messages,
            ready_key,
            ready_index,
            keys.revoked_version,
            keys.orphan_reasons,
            keys.alive,
            keys.workers,
            *lists,
        ]
        try:
            foresee = partial(lease.predecode, carried.payload) if lease is not None and carried is not None else None
            words = [*arguments, *names, *([carried.record] if carried else ())]
            answer = self.link.call("settle", script_keys, words, once=True, meanwhile=foresee)
            verdicts, taken, revision, fired, clock = answer
        except Exception:
            if limit:
                tags = [f"canvas:{worker}:{n}" for n in range(number, number + limit)]
                self._doubtful.setdefault(worker, []).extend(tags)
            raise
        if lease is not None:
            if len(taken) < limit:
                self._waiting.drained()
            self.revision = int(revision)
            offset = float(clock) - time.time()
            self.clock_offset = offset if abs(offset) > _CLOCKS_AGREE_WITHIN else 0.0
        now = time.monotonic()
        own = carried.payload if carried else b""
        deliveries = [
            Delivery(tag.decode(), queue.decode(), own if payload is None else payload, now)
            for tag, queue, payload in taken
        ]
        return with_refused(verdicts, bad), deliveries, with_refused(fired, bad_chords)

    def sources(self, lease: Lease | None) -> LeaseSources:
        """What to lease from; what waits in the inbox first."""
        if lease is None:
            return LeaseSources()
        queues = sorted(lease.queues) if self._sorted else lease.queues
        pairs = [(self.keys.queue_list(queue, step), queue) for step in self.keys.steps for queue in queues]
        armed = self._waiting.armed(lease.worker)
        inbox = [(self.keys.prefetched(lease.worker, key), queue) for key, queue in pairs if key in armed]
        if lease.node:
            inbox = [(self.keys.prefetched(lease.node, key), queue) for key, queue in pairs] + inbox
        lists, names = zip(*[*inbox, *pairs], strict=True)
        return LeaseSources(lists, names)

    def _settle_doubt(self, worker: str) -> None:
        """A lease call failed on the way: what it may have taken is held under tags that nobody knows."""
        self._restore.tags(worker, self._doubtful[worker])
        del self._doubtful[worker]

    def wait(self, worker: str, queues: Sequence[str], timeout: float) -> int:
        pairs = [self.keys.queue_list(queue, step) for step in self.keys.steps for queue in queues]
        return self._waiting.wait(worker, pairs, timeout)

    def wake(self) -> None:
        self._waiting.interrupt()

    def stop_waiting(self, worker: str) -> None:
        self._waiting.end(worker)

    def release_prefetched(self, worker: str) -> int:
        return self._waiting.release_prefetched(worker)

    def empty_inbox(self, worker: str, queues: Sequence[str]) -> int:
        return self._restore.inbox(worker, [key for queue in queues for key in self.keys.queue_lists(queue)])

    def release(self, deliveries: Sequence[Delivery]) -> int:
        if not deliveries:
            return 0
        given = [[d.tag, d.payload, self.packing.list_of(d.queue, d.payload)] for d in deliveries]
        return self._restore.give(worker_of_tag(deliveries[0].tag), given)

    # -- stepwise

    def fences(self, settlements: Sequence[Settlement]) -> list[bool]:
        """Of which settlements the fence holds now."""
        places = [(number, s) for number, s in enumerate(settlements) if s.delivery is not None and s.fence != "none"]
        looks = [(number, look) for number, s in places for look in self._looks(s)]
        holds = [True] * len(settlements)
        for number, _ in places:
            holds[number] = False
        for (number, _), found in zip(
            looks, self.link.pipeline([look for _, look in looks]) if looks else (), strict=True
        ):
            holds[number] = holds[number] or bool(found)
        return holds

    def _looks(self, settlement: Settlement) -> list[tuple[str, ...]]:
        """Where the tag of a settlement is if its fence holds: in one of these hashes."""
        assert settlement.delivery is not None
        tag = settlement.delivery.tag
        leased, begun = ("HEXISTS", self.keys.unacked, tag), ("HEXISTS", self.keys.early_acked(worker_of_tag(tag)), tag)
        if settlement.fence == "begun":
            return [begun]
        return [leased, begun] if settlement.begins else [leased]

    def settle(
        self, settlements: Sequence[Settlement], lease: Lease | None
    ) -> tuple[list[SettleResult], list[Delivery]]:
        """The broker's side of settlements: messages and acks, each whole or not at all."""
        mine = [
            replace(settlement, stores=[], joins=[], grow=[], keeps=[], parts=[], foreseen=[])
            for settlement in settlements
        ]
        packed = pack_each(mine, self.packing.settlement)
        verdicts, deliveries, _ = self.exchange(worker_of(settlements, lease), packed, lease, self._db, None)
        return [verdict_of(verdict) for verdict in verdicts], deliveries

    def publish_once(self, guard: str, publishes: Sequence[Publish], deferrals: Sequence[DelayedPublish]) -> bool:
        """Send messages unless the guard says that somebody did. Raises RefusedError."""
        packed = pack(self.packing.sent(publishes, deferrals))
        keys = [self.keys.dispatched(guard), self.keys.delayed, self.keys.delayed_messages]
        return bool(accepted(self.link.call("publish_guarded", keys, [packed]))[0])

    # -- looking

    def dead_letters(self, queue: str) -> list[DeadLetter]:
        found = self.link.command("LRANGE", self.keys.dead_letters(queue), 0, -1)
        letters = []
        for packed in reversed(found):
            fields = {text(key): value for key, value in msgpack.unpackb(packed, raw=True).items()}
            at = float(fields["time"])
            letters.append(DeadLetter(fields["payload"], text(fields["reason"]), text(fields["queue"]), at, packed))
        return letters

    def delete_dead_letter(self, queue: str, letter: DeadLetter) -> bool:
        return self.requeue_dead_letter(queue, letter, b"")

    def requeue_dead_letter(self, queue: str, letter: DeadLetter, payload: bytes) -> bool:
        keys = [self.keys.dead_letters(queue), self.packing.list_of(queue, payload or letter.payload)]
        return bool(self.link.call("requeue_dead_letter", keys, [letter.token, payload]))

    def dead_letter_count(self, queue: str) -> int:
        return int(self.link.command("LLEN", self.keys.dead_letters(queue)))

    def queue_length(self, queue: str) -> int:
        return sum(self.link.pipeline([("LLEN", key) for key in self.keys.queue_lists(queue)]))

    def in_flight(self) -> InFlight:
        keys = self.keys
        looks = [("HLEN", keys.unacked), ("ZCARD", keys.delayed), ("HKEYS", keys.concurrency_limits)]
        leased, deferred, waiting = self.link.pipeline(looks)
        parked = (
            self.link.pipeline([("LLEN", keys.waiting_for_permit(key.decode())) for key in waiting]) if waiting else []
        )
        return InFlight(leased, deferred, sum(parked))

    def purge(self, queue: str) -> int:
        lists = self.keys.queue_lists(queue)
        answers = self.link.pipeline([*(("LLEN", key) for key in lists), ("DEL", *lists)], transaction=True)
        return sum(answers[: len(lists)])

    # -- workers

    def heartbeat(self, worker: str, queues: Sequence[str], ttl: float) -> HeartbeatReply:
        keys = self.keys
        lists = json.dumps([keys.queue_list(queue, step) for step in self.keys.steps for queue in queues])
        alive = [keys.heartbeat(worker), keys.workers, keys.silent_since]
        held = [keys.leases(worker), keys.unacked_index, keys.early_acked(worker), keys.orphans]
        workers, known = self.link.call("heartbeat", [*alive, *held], [worker, int(ttl * 1000), lists])
        return HeartbeatReply(int(workers), bool(known))

    def rest(self, worker: str) -> bool:
        keys = self.keys
        held = [keys.leases(worker), keys.early_acked(worker)]
        gone = [keys.heartbeat(worker), keys.redelivered_running(worker), keys.workers, keys.silent_since]
        return bool(self.link.call("unregister_idle", [*held, *gone], [worker]))

    def release_unknown(self, worker: str, held: Collection[str]) -> int:
        return self._restore.unknown(worker, held)

    def unregister(self, worker: str) -> None:
        self._waiting.close(worker)
        self._restore.worker(worker, count_delivery=False)

    def mark_started(self, delivery: Delivery) -> None:
        key = self.keys.redelivered_running(worker_of_tag(delivery.tag))
        self.link.pipeline([("SADD", key, delivery.tag), ("EXPIRE", key, STARTED_FOR)], transaction=True)

    def recover_worker(self, worker: str) -> int:
        return self._restore.worker(worker, count_delivery=True)

    def recover_dead_workers(self) -> int:
        return self._restore.dead_workers()

    def has_orphans(self) -> bool:
        return bool(self.link.command("EXISTS", self.keys.orphans))

    def claim_orphans(self) -> list[Orphan]:
        return self._restore.orphans()

    def leases(self, worker: str) -> list[Delivery]:
        return self._restore.leases(worker)

    def leased_message(self, tag: str) -> bytes | None:
        return self._restore.payload(tag)

    def orphan_lease(self, tag: str, reason: str) -> bool:
        return self._restore.orphan_lease(tag, reason)

    def revoke(self, entries: Sequence[str], seconds: float) -> None:
        if entries:
            self.link.call("revoke", [self.keys.revoked, self.keys.revoked_version], [seconds, *entries])

    def revoked(self) -> list[str]:
        keys = self.keys
        commands = [
            ("ZREMRANGEBYSCORE", keys.revoked, "-inf", self.link.time()),
            ("GET", keys.revoked_version),
            ("ZRANGE", keys.revoked, 0, -1),
        ]
        _, revision, entries = self.link.pipeline(commands, transaction=True)
        self.revision = int(revision or 0)
        return [entry.decode() for entry in entries]

    def enqueue_due(self, limit: int) -> int:
        keys = self.keys
        arguments = [limit, keys.prefix, keys.dead_letters(""), DEAD_LETTERS_KEPT, keys.sep]
        return int(self.link.call("enqueue_due", [keys.delayed, keys.delayed_messages], arguments))

    def enqueue_delayed(self, queue: str, limit: int) -> int:
        keys, moved, first = [self.keys.delayed, self.keys.delayed_messages], 0, 0
        while moved < limit:
            arguments = [limit - moved, first, _LOOKED_AT, *self.keys.queue_lists(queue)]
            found, looked = self.link.call("enqueue_delayed", keys, arguments)
            moved, first = moved + found, first + looked - found
            if looked < _LOOKED_AT:
                break
        return moved

    def scheduled(self, limit: int) -> list[Scheduled]:
        keys = self.keys
        found = self.link.pipeline([("ZRANGE", keys.delayed, 0, limit - 1, "WITHSCORES")])[0] if limit > 0 else []
        pairs = (
            [tuple(one) for one in found]
            if found and isinstance(found[0], list | tuple)
            else list(zip(found[::2], found[1::2], strict=True))
        )
        packed = self.link.command("HMGET", keys.delayed_messages, *(name for name, _ in pairs)) if pairs else []
        scheduled = []
        for (_, due), message in zip(pairs, packed, strict=True):
            if message is not None:
                key, payload = msgpack.unpackb(message, raw=True)[:2]
                scheduled.append(Scheduled(float(due), keys.queue_of(text(key)), payload))
        return scheduled

    def next_due(self) -> float | None:
        found = self.link.command("ZRANGE", self.keys.delayed, 0, 0, "WITHSCORES")
        return (
            float(found[0][1] if isinstance(found[0], list | tuple) else found[1]) - self.link.time() if found else None
        )

    # -- turns

    def reserve_rate_slot(self, key: str, interval: float) -> float:
        return self._turns.reserve(key, interval)

    def acquire_permit(self, key: str, limit: int, delivery: Delivery) -> bool:
        home = self.packing.list_of(delivery.queue, delivery.payload)
        return self._turns.hold(key, limit, worker_of_tag(delivery.tag), delivery, home)

    def enqueue_blocked(self) -> int:
        return self._turns.enqueue_blocked()

    def publish_unique(self, message: Publish, lock: UniqueLock, seconds: float, delays: Delays = None) -> str | None:
        keys = [self.keys.unique(lock.key), *self.lists_of(message)]
        arguments = [lock.owner, max(1, int(seconds * 1000)), message.payload]
        owner = self.guards.call("publish_unique", keys, arguments, delays)
        return None if owner is None else text(owner)

    def release_lock(self, lock: UniqueLock) -> None:
        self._turns.unlock(lock)

    def close(self) -> None:
        self._waiting.close()
        self.link.close()


def worker_of(settlements: Sequence[Settlement], lease: Lease | None) -> str:
    """Whose exchange it is; ``""`` for nobody's."""
    if lease is not None:
        return lease.worker
    return next((worker_of_tag(s.delivery.tag) for s in settlements if s.delivery is not None), "")


def _order(given: Any) -> str:
    strategy = given or "round_robin"
    if strategy not in ("round_robin", "priority", "sorted"):
        raise ConfigurationError(f"queue_order_strategy: expected round_robin, priority or sorted; got {given!r:.100}")
    return str(strategy)


def _counted(pushes: Pushes) -> list[Any]:
    """The payloads of each list, after their number."""
    return [word for payloads in pushes.values() for word in (len(payloads), *payloads)]
