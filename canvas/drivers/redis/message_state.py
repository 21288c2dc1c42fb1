"""The state, in Redis, of messages that another broker carries: their leases, and the outboxes that lead to it.

The keys and scripts are those of Redis as a broker. The only lists are outboxes: a script that would append a message
to its queue appends it to the outbox of all workers, or to a worker's own. That is the list into which its waits would
move messages, so that the recovery of a dead worker's lists recovers its outbox.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from canvas.drivers.kombu_envelope import ENVELOPE, message_id_of
from canvas.drivers.ports.message_state import Arrival
from canvas.drivers.ports.values import LeaseReply, clock_offset
from canvas.drivers.redis.broker import RedisBroker
from canvas.drivers.redis.connection.client import RedisClient
from canvas.drivers.redis.keys import BrokerKeys
from canvas.drivers.redis.lease_recovery import LeaseRecovery
from canvas.drivers.redis.scripts.arguments import pack
from canvas.drivers.stored_messages import delivery_count, loss_headers, lost_before, opened, redelivered
from canvas.drivers.tags import worker_of_tag
from canvas.model.ids import new_id
from canvas.model.message import Delivery

REMEMBERED = 600
"""Seconds after a lease, or its last renewal, for which the id of a message is known. It is known for as long as a
broker that fails may deliver a message again which was settled just before."""
_LOST_FOR = 86_400
"""Seconds within which the message of a dead worker is delivered again, for the delivery to be counted."""
_LOST = "lost:"
_DELAYS_FOR = 30 * 86_400
"""Seconds for which the name of a queue of a delay is kept after it was noted; none is used for longer without being
noted again."""


class StateKeys(BrokerKeys):
    """The keys of a broker all of whose lists are outboxes."""

    @property
    def outbox(self) -> str:
        """list of messages that any worker may send to the broker, as ``outgoing`` packs them."""
        return f"{self.prefix}canvas:outbox"

    @property
    def delay_queues(self) -> str:
        """set of the names of the broker's queues in which messages wait until they are due; an entry goes when a
        process finds that the queue is gone."""
        return f"{self.prefix}canvas:delay_queues"

    def message(self, message_id: str) -> str:
        """The tag of the latest lease of a message, or ``lost:`` and whether the worker that died ran it; lives for ten
        minutes after the lease, or its renewal."""
        return f"{self.prefix}canvas:message:{message_id}"

    def detached(self, worker: str) -> str:
        """set of the tags of leases whose messages the broker has lost; goes with the worker."""
        return f"{self.prefix}canvas:detached:{worker}"

    def outbox_of(self, worker: str) -> str:
        return self.prefetched(worker, self.outbox)

    def queue_list(self, queue: str, step: int) -> str:
        return queue if queue.startswith(self.prefetched("", "")[:-1]) else self.outbox


class StateRecovery(LeaseRecovery):
    """Ends the leases of dead workers without returning their messages: the broker delivers these again."""

    dropped: Callable[[str], None] = staticmethod(lambda worker: None)
    """Called when the leases of a worker have ended."""
    to_entry: Callable[[str, bytes], bytes]
    """Makes the entry of an outbox of a queue and a message."""
    _keys: StateKeys

    def give_back_tags(
        self, worker: str, tags: Sequence[str], count_delivery: bool = False, silent: bool = False
    ) -> int:
        # The tags of a worker that is otherwise unknown come together with the tags of other workers.
        by_worker: dict[str, list[str]] = {}
        for tag in tags:
            by_worker.setdefault(worker or worker_of_tag(tag), []).append(tag)
        return sum(self._end(one, some, count_delivery, silent) for one, some in by_worker.items())

    def _end(self, worker: str, tags: Sequence[str], count_delivery: bool, silent: bool) -> int:
        started = {tag.decode() for tag in self._link.command("SMEMBERS", self._keys.redelivered_running(worker))}
        records = self._link.command("HMGET", self._keys.unacked, *tags)
        opened_all = {tag: opened(record) for tag, record in zip(tags, records, strict=True) if record is not None}
        leases = {tag: lease for tag, lease in opened_all.items() if lease is not None}
        dropped: list[list[Any]] = []
        for tag, (_, _, payload) in leases.items():
            mark = f"{_LOST}{int(tag in started)}:{delivery_count(ENVELOPE, payload)}" if count_delivery else False
            dropped.append([tag, self._keys.message(message_id_of(payload)), mark])
        ended, detached = self.drop(worker, dropped, silent)
        returned: list[list[Any]] = []
        for tag in detached:
            _, queue, payload = leases[tag]
            headers = loss_headers(ENVELOPE, payload, tag in started) if count_delivery else {}
            entry = self.to_entry(queue, redelivered(ENVELOPE, payload, **headers))
            returned.append([tag, entry, self._keys.outbox])
        return ended + (self.give_back(worker, returned, silent) if returned else 0)

    def drop(self, worker: str, dropped: Sequence[list[Any]], silent: bool = False) -> tuple[int, list[str]]:
        """End ``[tag, key of the message's id, mark]`` leases; ``silent``: only if the worker sends no heartbeats.
        Returns how many were held, and the tags of those that stay: the broker no longer has their messages."""
        keys = [self._keys.unacked, self._keys.unacked_index, self._keys.leases(worker), self._keys.detached(worker)]
        keys += [self._keys.heartbeat(worker)] if silent else []
        count, kept = self._link.call("drop_leases", keys, [pack(list(dropped)), _LOST_FOR])
        return int(count), [tag.decode() for tag in kept]

    def _goes_with(self, worker: str) -> list[str]:
        return [*super()._goes_with(worker), self._keys.detached(worker)]

    def _forget(self, worker: str, tags: Sequence[str], orphans_in: float, silent: bool, entry: str) -> bool:
        forgotten = super()._forget(worker, tags, orphans_in, silent, entry)
        if forgotten:
            self.dropped(worker)
        return forgotten


class StateBroker(RedisBroker):
    """The MessageState of ``canvas.drivers.ports``, and the broker of the settler that commits in Redis."""

    durable = True
    keys: StateKeys
    keys_type = StateKeys
    recovery_type = StateRecovery

    def __init__(self, link: RedisClient, options: Mapping[str, Any]) -> None:
        super().__init__(link, options)
        self._sent: dict[str, list[Any]] = {}
        """For each worker: a token, how many messages at the head of its outbox were sent, and which were refused."""

    @property
    def recovery(self) -> StateRecovery:
        assert isinstance(self._recovery, StateRecovery)
        return self._recovery

    def connect(self, dropped: Callable[[str], None], to_entry: Callable[[str, bytes], bytes]) -> None:
        """See ``StateParts``."""
        self.recovery.dropped, self.recovery.to_entry = dropped, to_entry

    def register(self, worker: str, arrivals: Sequence[Arrival]) -> LeaseReply:
        again = [arrival for arrival in arrivals if arrival.deliveries]
        counted = self._counted(again) if again else {}
        deliveries, packed = [], []
        for delivery, message_id, times, own_id in arrivals:
            found = counted.get(delivery.tag, delivery)
            deliveries.append(found)
            packed.append([found.tag, _record(found), self.keys.message(message_id), int(times > 0), int(own_id)])
        keys = self.keys
        script_keys = [keys.unacked, keys.unacked_index, keys.leases(worker), keys.revoked_version]
        asked = time.time()
        verdicts, version, now = self.link.call(
            "register_leases", script_keys, [pack(packed), REMEMBERED, keys.leases(""), keys.detached("")]
        )
        leased = [delivery for delivery, leased in zip(deliveries, verdicts, strict=True) if leased]
        return LeaseReply(leased, int(version), clock_offset(float(now), asked))

    def _counted(self, arrivals: Sequence[Arrival]) -> dict[str, Delivery]:
        """By tag, the messages whose worker died, with headers that count the delivery."""
        marks = self.link.command("MGET", *(self.keys.message(arrival.message_id) for arrival in arrivals))
        found = {}
        for (delivery, *_), mark in zip(arrivals, marks, strict=True):
            counted = self._counted_payload(delivery, mark.decode()) if mark is not None else None
            if counted is not None:
                found[delivery.tag] = delivery._replace(payload=counted)
        return found

    def _counted_payload(self, delivery: Delivery, mark: str) -> bytes | None:
        if mark == delivery.tag:
            # The reply to an earlier call was lost: the message that it leased is counted already.
            record = self.link.command("HGET", self.keys.unacked, mark)
            lease = opened(record) if record is not None else None
            return lease[2] if lease is not None else None
        lost = self._lost(mark)
        if lost is None:
            return None
        started, count = lost
        return lost_before(ENVELOPE, delivery.payload, count, started)

    def _lost(self, mark: str) -> tuple[bool, int] | None:
        """Whether a message is known to have run when its worker was lost, and how often it was delivered by then;
        ``None``: it is settled."""
        if mark.startswith(_LOST):
            started, count = mark.removeprefix(_LOST).split(":")
            return started == "1", int(count)
        looks = [
            ("HGET", self.keys.unacked, mark),
            ("SISMEMBER", self.keys.redelivered_running(worker_of_tag(mark)), mark),
        ]
        record, was_running = self.link.pipeline(looks)
        lease = opened(record) if record is not None else None
        return (bool(was_running), delivery_count(ENVELOPE, lease[2])) if lease is not None else None

    def renew(self, message_ids: Sequence[str]) -> None:
        if message_ids:
            self.link.pipeline([("EXPIRE", self.keys.message(one), REMEMBERED) for one in message_ids])

    def detach(self, worker: str, tags: Sequence[str]) -> None:
        self.link.command("SADD", self.keys.detached(worker), *tags)

    def attach(self, worker: str, tags: Sequence[str]) -> None:
        self.link.command("SREM", self.keys.detached(worker), *tags)

    def release(self, deliveries: Sequence[Delivery]) -> int:
        if not deliveries:
            return 0
        dropped = [[d.tag, self.keys.message(message_id_of(d.payload)), False] for d in deliveries]
        return self.recovery.drop(worker_of_tag(deliveries[0].tag), dropped)[0]

    def note_delay_queue(self, name: str) -> None:
        self.link.pipeline([("SADD", self.keys.delay_queues, name), ("EXPIRE", self.keys.delay_queues, _DELAYS_FOR)])

    def delay_queues(self) -> list[str]:
        return sorted(name.decode() for name in self.link.command("SMEMBERS", self.keys.delay_queues))

    def forget_delay_queues(self, names: Sequence[str]) -> None:
        if names:
            self.link.command("SREM", self.keys.delay_queues, *names)

    def take_acked(self, delivery: Delivery, entry: bytes) -> bool:
        return self._recovery.give_back(worker_of_tag(delivery.tag), [[delivery.tag, entry, self.keys.outbox]]) > 0

    def outbox(self, worker: str) -> str:
        return self.keys.outbox_of(worker) if worker else self.keys.outbox

    def unsent(self, worker: str, limit: int) -> list[bytes]:
        self._delete_sent(worker)
        found: list[bytes] = self.link.command("LRANGE", self.outbox(worker), -limit, -1)
        return found[::-1]

    def sent(self, worker: str, count: int, refused: Sequence[bytes] = ()) -> None:
        self._delete_sent(worker)
        self._sent[worker] = [new_id(), count, *refused]
        self._delete_sent(worker)

    def _delete_sent(self, worker: str) -> None:
        """Delete messages of an outbox that the broker has, once, though a reply to this may have been lost."""
        if worker in self._sent:
            keys = [self.keys.idempotency(f"outbox:{worker}"), self.outbox(worker), self.keys.outbox]
            self.link.call("delete_sent", keys, self._sent[worker])
            del self._sent[worker]

    def claim(self, worker: str, limit: int) -> list[bytes]:
        self._delete_sent(worker)
        own = self.keys.outbox_of(worker)
        shared, mine = self.link.pipeline([("LLEN", self.keys.outbox), ("LLEN", own)])
        moves: list[Sequence[Any]] = [("LMOVE", self.keys.outbox, own, "RIGHT", "LEFT")] * min(limit - mine, shared)
        found: list[bytes] = self.link.pipeline([*moves, ("LRANGE", own, -limit, -1)])[-1]
        return found[::-1]

    def shared_count(self) -> int:
        return int(self.link.command("LLEN", self.keys.outbox))


def _record(delivery: Delivery) -> bytes:
    """The record of a lease in ``unacked``."""
    payload = delivery.payload
    if not payload.startswith(b"{"):
        payload = json.dumps(payload.decode("utf-8", "surrogateescape")).encode()
    return b"[" + payload + b',"",' + json.dumps(delivery.queue).encode() + b"]"
