"""Leases in memory. When a process or its connection ends, RabbitMQ delivers the messages of its leases again."""

import threading
from collections import deque
from collections.abc import Callable, Collection, Sequence
from math import inf

from canvas.drivers.amqp.local.coordination import LocalCoordination
from canvas.drivers.amqp.local.shared_value import SharedDict
from canvas.drivers.kombu_envelope import ENVELOPE
from canvas.drivers.ports.message_state import Arrival, StateParts
from canvas.drivers.ports.values import HeartbeatReply, LeaseReply
from canvas.drivers.stored_messages import delivery_count, redelivered
from canvas.drivers.tags import number_of_tag, tag_of, worker_of_tag
from canvas.forks import in_forks
from canvas.model.message import Delivery
from canvas.model.settlement import Orphan, Settlement


class LocalMessages:
    """The MessageState of ``canvas.drivers.ports``."""

    durable = False

    def __init__(self, coordination: LocalCoordination) -> None:
        self._coordination = coordination
        self._delay_queues = SharedDict()
        """Names of queues, noted by the processes of a node: the one that answers commands makes none."""
        self._forget()
        in_forks(self._forget)

    def _forget(self) -> None:
        self._delay_queues.disinherit()
        self._lock = threading.RLock()
        self.leases: dict[str, Delivery] = {}
        self.early_acked: dict[str, Delivery] = {}
        self._outbox: deque[bytes] = deque()

    def register(self, worker: str, arrivals: Sequence[Arrival]) -> LeaseReply:
        found = []
        for arrival in arrivals:
            delivery = arrival.delivery
            if arrival.deliveries:
                count = delivery_count(ENVELOPE, delivery.payload) + 1
                payload = redelivered(ENVELOPE, delivery.payload, canvas_delivery_count=count)
                delivery = delivery._replace(payload=payload)
            self.leases[delivery.tag] = delivery
            found.append(delivery)
        return LeaseReply(found, self._coordination.version, 0.0)

    def drop(self, worker: str) -> int:
        """End the leases of a worker. Returns how many there were."""
        with self._lock:
            tags = [tag for tag in self.leases if worker_of_tag(tag) == worker]
            for tag in tags:
                del self.leases[tag]
            return len(tags)

    def held(self, settlement: Settlement) -> bool:
        """Whether the fence of a settlement holds."""
        delivery = settlement.delivery
        if delivery is None or settlement.fence == "none":
            return True
        if settlement.fence == "early_acked":
            return delivery.tag in self.early_acked
        return delivery.tag in self.leases

    def end(self, settlement: Settlement) -> None:
        """The settlement has taken effect: end its lease."""
        if settlement.delivery is None:
            return
        tag = settlement.delivery.tag
        with self._lock:
            leased = self.leases.pop(tag, None)
            if settlement.early_ack and leased is not None:
                self.early_acked[tag] = leased
            elif settlement.fence == "early_acked":
                self.early_acked.pop(tag, None)

    def renew(self, message_ids: Sequence[str]) -> None:
        """Nothing: these leases do not expire."""

    def detach(self, worker: str, tags: Sequence[str]) -> None:
        """RabbitMQ keeps the message of each lease."""

    def attach(self, worker: str, tags: Sequence[str]) -> None:
        """Nothing: ``detach`` has detached no lease."""

    def release(self, deliveries: Sequence[Delivery]) -> int:
        with self._lock:
            return sum(self.leases.pop(delivery.tag, None) is not None for delivery in deliveries)

    def take_acked(self, delivery: Delivery, entry: bytes) -> bool:
        with self._lock:
            found = self.early_acked.pop(delivery.tag, None)
            if found is not None:
                self._outbox.append(entry)
            return found is not None

    def note_delay_queue(self, name: str) -> None:
        self._delay_queues.change(lambda found: found.update({name: True}))

    def delay_queues(self) -> list[str]:
        return sorted(self._delay_queues.read())

    def forget_delay_queues(self, names: Sequence[str]) -> None:
        if names:
            self._delay_queues.change(lambda found: [found.pop(name, None) for name in names])

    def outbox(self, worker: str) -> str:
        return worker

    def unsent(self, worker: str, limit: int) -> list[bytes]:
        return []

    def sent(self, worker: str, count: int, refused: Sequence[bytes] = ()) -> None:
        with self._lock:
            for _ in range(min(count, len(self._outbox))):
                self._outbox.popleft()
            self._outbox.extend(refused)

    def claim(self, worker: str, limit: int) -> list[bytes]:
        with self._lock:
            return list(self._outbox)[:limit]

    def shared_count(self) -> int:
        return len(self._outbox)


class LocalRecovery:
    """The Recovery of ``canvas.drivers.ports``: RabbitMQ returns the messages of a dead process."""

    silence = inf

    def __init__(self, messages: LocalMessages) -> None:
        self._messages = messages
        self._known: set[str] = set()
        self.dropped: Callable[[str], None] = lambda worker: None

    def heartbeat(self, worker: str, queues: Sequence[str], ttl: float) -> HeartbeatReply:
        known = worker in self._known
        self._known.add(worker)
        return HeartbeatReply(1, known)

    def rest(self, worker: str) -> bool:
        self._known.discard(worker)
        return True

    def release_unknown(self, worker: str, held: Collection[str]) -> int:
        unknown = [
            one for tag, one in list(self._messages.leases.items()) if worker_of_tag(tag) == worker and tag not in held
        ]
        return self._messages.release(unknown)

    def unregister(self, worker: str) -> None:
        self.recover_worker(worker)

    def mark_started(self, delivery: Delivery) -> None:
        """Nothing: the headers of a message count its deliveries."""

    def recover_worker(self, worker: str) -> int:
        self._known.discard(worker)
        count = self._messages.drop(worker)
        self.dropped(worker)
        return count

    def has_orphans(self) -> bool:
        return False

    def claim_orphans(self) -> list[Orphan]:
        return []

    def lease_number(self, tag: str) -> int:
        return number_of_tag(tag)

    def lease_tag(self, worker: str, number: int) -> str:
        return tag_of(worker, number)

    def leases(self, worker: str) -> list[Delivery]:
        return [one for tag, one in list(self._messages.leases.items()) if worker_of_tag(tag) == worker]

    def on_broken(self, call: Callable[[], object]) -> None:
        """Nothing: the broker knows of its connections."""

    def still_leased(self, delivery: Delivery, early_acked: bool) -> bool:
        return delivery.tag in (self._messages.early_acked if early_acked else self._messages.leases)

    def leased_message(self, tag: str) -> bytes | None:
        found = self._messages.leases.get(tag) or self._messages.early_acked.get(tag)
        return found.payload if found is not None else None

    def orphan_lease(self, tag: str, reason: str) -> bool:
        """RabbitMQ delivers the message of a killed process again."""
        return True

    def recover_dead_workers(self) -> int:
        return 0


def local_state() -> StateParts:
    """The parts of a broker without a state server."""
    coordination = LocalCoordination()
    messages = LocalMessages(coordination)
    recovery = LocalRecovery(messages)

    def connect(dropped: Callable[[str], None], to_entry: Callable[[str, bytes], bytes]) -> None:
        recovery.dropped = dropped

    return StateParts(messages, lambda: None, lambda: None, None, coordination, recovery, None, None, connect)
