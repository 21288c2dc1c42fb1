"""The parts of this driver that keep their state on a state server, and send its messages on to RabbitMQ."""

from collections.abc import Callable, Collection, Sequence
from math import inf

from canvas.drivers.amqp.broker import AmqpBroker
from canvas.drivers.amqp.contents import Outgoing
from canvas.drivers.amqp.delays.messages import DelayedMessages
from canvas.drivers.amqp.local.dead_letters import DeadLetters
from canvas.drivers.ports.message_state import MessageAdmin
from canvas.drivers.ports.schedules import DueEntries, EntryWrite, StoredEntry
from canvas.drivers.ports.values import DeadLetter, HeartbeatReply, InFlight, Scheduled
from canvas.drivers.retry_policy import Delays
from canvas.drivers.tags import worker_of_tag
from canvas.model.message import Delivery, Publish
from canvas.model.settlement import Settlement, SettleResult, UniqueLock


class AmqpCoordination:
    """The Coordination of ``canvas.drivers.ports``."""

    def __init__(self, broker: AmqpBroker) -> None:
        self._broker = broker
        inner = broker.state.coordination
        self._inner = inner
        self.revoke, self.revoked = inner.revoke, inner.revoked
        self.reserve_rate_slot, self.release_lock = inner.reserve_rate_slot, inner.release_lock

    def acquire_permit(self, key: str, limit: int, delivery: Delivery) -> bool:
        entry = _entry(Publish("", delivery.queue, 0, delivery.payload))
        return self._inner.acquire_permit(key, limit, delivery._replace(payload=entry))

    def enqueue_blocked(self) -> int:
        found = self._inner.enqueue_blocked()
        if found:
            self._broker.outboxes.forward()
        return found

    def publish_unique(self, message: Publish, lock: UniqueLock, seconds: float, delays: Delays = None) -> str | None:
        if not self._broker.destinations.exists(message):
            return None
        owner = self._inner.publish_unique(_to_outbox(self._broker, Outgoing.of(message)), lock, seconds, delays)
        if owner is None:
            self._broker.outboxes.forward()
        return owner


class AmqpRecovery:
    """The Recovery of ``canvas.drivers.ports``."""

    def __init__(self, broker: AmqpBroker) -> None:
        self._broker = broker
        inner = broker.state.recovery
        self._inner = inner
        # RabbitMQ closes a connection that has missed two heartbeats.
        self.silence = 2 * min((one.heartbeat or inf for one in broker.addresses), default=inf)
        self.rest, self.mark_started = inner.rest, inner.mark_started
        self.has_orphans, self.claim_orphans = inner.has_orphans, inner.claim_orphans
        self.lease_number, self.lease_tag = inner.lease_number, inner.lease_tag
        self.leases, self.leased_message, self.orphan_lease = inner.leases, inner.leased_message, inner.orphan_lease
        broker.state.connect(broker.drop_session, lambda queue, payload: _entry(Publish("", queue, 0, payload)))

    def on_broken(self, call: Callable[[], object]) -> None:
        self._broker.broken = call

    def still_leased(self, delivery: Delivery, early_acked: bool) -> bool:
        broker, tag = self._broker, delivery.tag
        held = early_acked or tag in broker.detached or broker.session(worker_of_tag(tag)).still_holds(tag)
        return held and self._inner.still_leased(delivery, early_acked)

    def heartbeat(self, worker: str, queues: Sequence[str], ttl: float) -> HeartbeatReply:
        self._broker.beat(worker)
        return self._inner.heartbeat(worker, queues, ttl)

    def release_unknown(self, worker: str, held: Collection[str]) -> int:
        count = self._inner.release_unknown(worker, held)
        session = self._broker.session(worker)
        session.return_held([tag for tag in list(session.held) if tag not in held])
        return count

    def unregister(self, worker: str) -> None:
        self._inner.unregister(worker)
        self._broker.outboxes.forward()

    def recover_worker(self, worker: str) -> int:
        count = self._inner.recover_worker(worker)
        self._broker.outboxes.forward()
        return count

    def recover_dead_workers(self) -> int:
        count = self._inner.recover_dead_workers()
        self._broker.outboxes.forward()
        return count


class AmqpAdmin:
    """The Admin of ``canvas.drivers.ports``."""

    def __init__(self, broker: AmqpBroker) -> None:
        self._broker = broker
        inner = broker.state.admin
        self._inner = inner
        self._delayed = DelayedMessages(broker)
        letters = _StateLetters(broker, inner) if inner is not None else DeadLetters(broker)
        self.dead_letters, self.dead_letter_count = letters.dead_letters, letters.dead_letter_count
        self.delete_dead_letter, self.requeue_dead_letter = letters.delete_dead_letter, letters.requeue_dead_letter

    def queue_length(self, queue: str, retry: bool = True) -> int:
        return self._broker.topology.length(queue) or 0

    def find_queues(self) -> list[str]:
        return []  # AMQP has no method that lists queues

    def next_messages(self, queue: str) -> list[bytes]:
        return []

    def refusal(self) -> str | None:
        blocked = self._broker.publisher.blocked
        return f"{self._broker.where} takes no messages: {blocked}" if blocked else None

    def in_flight(self) -> InFlight:
        if self._inner is not None:
            found = self._inner.in_flight()
        else:
            found = InFlight(sum(len(session.held) for session in list(self._broker.sessions.values())), 0, 0)
        return found._replace(delayed=self._delayed.count())

    def purge(self, queue: str) -> int:
        return self._broker.topology.purge(queue)

    def enqueue_delayed(self, queue: str, limit: int) -> int:
        return self._delayed.enqueue(queue, limit)

    def scheduled(self, limit: int) -> list[Scheduled]:
        return self._delayed.first(limit)


class _StateLetters:
    """The dead letters that a state server keeps."""

    def __init__(self, broker: AmqpBroker, inner: MessageAdmin) -> None:
        self._broker = broker
        self._inner = inner
        self.dead_letters, self.dead_letter_count = inner.dead_letters, inner.dead_letter_count
        self.delete_dead_letter = inner.delete_dead_letter

    def requeue_dead_letter(self, queue: str, letter: DeadLetter, payload: bytes) -> bool:
        found = self._inner.requeue_dead_letter(queue, letter, _entry(Publish("", queue, 0, payload)))
        self._broker.outboxes.forward()
        return found


class AmqpSchedules:
    """The ScheduleStore of ``canvas.drivers.ports``."""

    def __init__(self, broker: AmqpBroker) -> None:
        assert broker.state.schedules is not None
        self._broker = broker
        self._inner = broker.state.schedules

    def due(self, schedule: str, limit: int) -> DueEntries:
        return self._inner.due(schedule, limit)

    def read(self, schedule: str, names: Sequence[str] | None = None) -> list[StoredEntry]:
        return self._inner.read(schedule, names)

    def write(self, change: EntryWrite, settlement: Settlement | None = None) -> SettleResult:
        if settlement is not None:
            outgoing = self._broker.destinations.outgoing(settlement.publishes, settlement.deferrals)
            sent = [_to_outbox(self._broker, one) for one in outgoing]
            settlement = settlement._replace(publishes=sent, deferrals=())
        done = self._inner.write(change, settlement)
        self._broker.outboxes.forward()
        return done

    def remove(self, schedule: str, names: Sequence[str]) -> int:
        return self._inner.remove(schedule, names)


def _entry(publish: Publish) -> bytes:
    return Outgoing.of(publish).packed()


def _to_outbox(broker: AmqpBroker, outgoing: Outgoing) -> Publish:
    """A message on its way to the outbox of all workers."""
    return Publish("", broker.state.messages.outbox(""), 0, outgoing.packed())
