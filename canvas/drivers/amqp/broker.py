"""Queues in RabbitMQ, whose leases are kept by a state server (docs/decisions/0014)."""

import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from itertools import count

from canvas.drivers.amqp.connecting import connect
from canvas.drivers.amqp.consumer_channel import Arrived, Held, Wake, readable
from canvas.drivers.amqp.contents import Outgoing, to_content, to_payload
from canvas.drivers.amqp.link import Link
from canvas.drivers.amqp.publisher import Publication, Publisher
from canvas.drivers.amqp.session import Session
from canvas.drivers.amqp.topology import Topology
from canvas.drivers.amqp.url import Address
from canvas.drivers.kombu_envelope import ENVELOPE
from canvas.drivers.ports.codec import MessageCodec
from canvas.drivers.ports.message_state import Arrival, StateParts
from canvas.drivers.ports.values import Lease, LeaseReply
from canvas.drivers.retry_policy import Delays
from canvas.drivers.tags import worker_of_tag
from canvas.errors import OperationalError
from canvas.forks import in_forks
from canvas.model.ids import new_id
from canvas.model.message import Delivery, Publish
from canvas.model.queue import Queue

_FORWARDED_AT_ONCE = 500
_FORWARDS_WITHIN = 15.0
"""Seconds after which what a process has claimed from the outbox of all returns there, if the process is dead."""
NO_LEASE = LeaseReply([], 0, 0.0)


class AmqpBroker:
    """The Broker of ``canvas.drivers.ports`` but for its half of a settlement (``AmqpSettlingBroker``)."""

    codec: MessageCodec = ENVELOPE
    takes_turns = True
    shares_waits = False

    def __init__(
        self, addresses: Sequence[Address], answer_within: float, state: StateParts, consumer_timeout: float
    ) -> None:
        """``answer_within``: seconds in which the broker answers, unless it blocks publishing. ``consumer_timeout``:
        seconds for which RabbitMQ lets a worker hold a message."""
        self.addresses = addresses
        self.where = addresses[0].where
        self._answer_within = answer_within
        self.state = state
        self.topology = Topology(lambda: connect(addresses), self.where, answer_within)
        self._publisher = Publisher(lambda: self._link(heartbeat=False), self.topology)
        self.sessions: dict[str, Session] = {}
        self._lock = threading.Lock()
        self._forwarding = threading.Lock()
        self._numbers = count(1)
        self._detach_after = consumer_timeout / 2
        self.detached: dict[str, str] = {}
        """By tag, the ids of messages that workers of this process have and RabbitMQ has not."""
        self._wake = Wake()
        self._unregister_fork = in_forks(self._disinherit)

    def _link(self, heartbeat: bool) -> Link:
        return Link(connect(self.addresses, heartbeat), self.where, self._answer_within)

    def _disinherit(self) -> None:
        sessions, self.sessions, self.detached = self.sessions, {}, {}
        for session in sessions.values():
            session.disinherit()
        self._publisher.forget()
        self.topology.forget()
        self._lock, self._forwarding, self._wake = threading.Lock(), threading.Lock(), Wake()

    def session(self, worker: str) -> Session:
        """The channel of a worker."""
        with self._lock:
            found = self.sessions.get(worker)
            if found is None:
                found = Session(lambda: self._link(heartbeat=True), self.topology.make_known)
                self.sessions[worker] = found
            return found

    def check(self) -> None:
        self.topology.check()
        self.state.broker.check()

    # -- sending

    def declare(self, queues: Sequence[Queue]) -> None:
        self.topology.declare(queues)

    def publish(self, messages: Sequence[Publish], delays: Delays = None) -> None:
        self._publisher.publish(self._publications(messages), delays)

    async def apublish(self, messages: Sequence[Publish], delays: Delays = None) -> None:
        await self._publisher.apublish(self._publications(messages), delays)

    def _publications(self, messages: Iterable[Publish]) -> list[Publication]:
        return [
            Publication(message.exchange, message.routing_key, to_content(message.payload))
            for message in messages
            if self.has_way(message)
        ]

    def has_way(self, message: Publish) -> bool:
        """Make the queue that a message is routed to; whether its exchange exists."""
        if message.queue is not None:
            self.topology.declare([message.queue])
        return not message.exchange or self.topology.has_exchange(message.exchange)

    def publish_outgoing(self, entries: Sequence[bytes]) -> None:
        """Publish messages of an outbox, with confirms. Raises OperationalError."""
        ways = [
            outgoing for outgoing in map(Outgoing.unpacked, entries)
            if not outgoing.exchange or self.topology.has_exchange(outgoing.exchange)
        ]  # fmt: skip
        self._publisher.publish([Publication(one.exchange, one.routing_key, one.content()) for one in ways])

    def publish_contents(self, messages: Sequence[Publication], mandatory: bool = True) -> None:
        """Publish messages to exchanges that exist, with confirms. Raises OperationalError."""
        self._publisher.publish(messages, mandatory=mandatory)

    def publish_again(self, messages: Sequence[Publication]) -> None:
        """Publish what a queue did not take because it did not exist; it is made."""
        self.topology.declare([Queue(one.routing_key) for one in messages], again=True)
        self._publisher.publish(messages)

    # -- the outboxes

    def send_left(self, worker: str) -> None:
        """Publish what is in a worker's own outbox. Raises BrokerError."""
        while entries := self.state.messages.unsent(worker, _FORWARDED_AT_ONCE):
            self.publish_outgoing(entries)
            self.state.messages.sent(worker, len(entries))

    def forward(self) -> int:
        """Publish what is in the outbox of all workers; how many messages. Raises BrokerError."""
        messages, total = self.state.messages, 0
        if not messages.shared_count():
            return 0
        with self._forwarding:
            # What a process has claimed returns to the outbox when it dies, as that of a worker does.
            forwarder = f"forwarder-{new_id()}"
            self.state.recovery.heartbeat(forwarder, [""], _FORWARDS_WITHIN)
            while entries := messages.claim(forwarder, _FORWARDED_AT_ONCE):
                self.publish_outgoing(entries)
                messages.sent(forwarder, len(entries))
                total += len(entries)
            self.state.recovery.unregister(forwarder)
        return total

    # -- leasing

    def lease(self, request: Lease) -> list[Delivery]:
        session = self.session(request.worker)
        _, arrived = session.exchange((), (), (), request.queues, request.limit)
        self.take_in(session, request.worker, arrived)
        return self.register(session, request.worker).deliveries

    def take_in(self, session: Session, worker: str, arrived: Sequence[Arrived]) -> None:
        """Note what the broker has delivered, to be leased by ``register``."""
        for one in arrived:
            payload, message_id, own_id = to_payload(one.content, one.exchange, one.routing_key)
            delivery = Delivery(f"canvas:{worker}:{next(self._numbers)}", one.queue, payload, one.at)
            arrival = Arrival(delivery, message_id, one.redelivered, own_id)
            session.unregistered.append((arrival, Held(one.link, one.number, message_id, one.at)))

    def register(self, session: Session, worker: str) -> LeaseReply:
        """Lease what was taken in. Raises BrokerError; the next call then leases it."""
        waiting = list(session.unregistered)
        if not waiting:
            return NO_LEASE
        leased = self.state.messages.register(worker, [arrival for arrival, _ in waiting])
        del session.unregistered[: len(waiting)]
        tags = {delivery.tag for delivery in leased.deliveries}
        session.held.update((arrival.delivery.tag, held) for arrival, held in waiting if arrival.delivery.tag in tags)
        settled = [held for arrival, held in waiting if arrival.delivery.tag not in tags]
        if settled:
            try:
                session.exchange((), settled, (), (), 0)
            except OperationalError:
                return leased  # they come again, and are settled then too
        return leased

    def wait(self, worker: str, queues: Sequence[str], timeout: float) -> int:
        if self._wake.clear():
            return 1
        session, until = self.session(worker), time.monotonic() + timeout
        link = session.prepare_wait(queues)
        while link is not None:
            readable(link, self._wake.reading, until - time.monotonic())
            if self._wake.clear() or session.has_come(link):
                return 1
            if time.monotonic() >= until:
                return 0
        return 1

    def wake(self) -> None:
        self._wake.set()

    def release(self, deliveries: Sequence[Delivery]) -> int:
        if not deliveries:
            return 0
        session = self.session(worker_of_tag(deliveries[0].tag))
        detached = [one for one in deliveries if one.tag in self.detached]
        total = self._send_back(detached)
        early = [one for one in deliveries if one.tag not in session.held]
        total += self.state.messages.release(deliveries)
        # The leases that are left were acked early: RabbitMQ does not have their messages any more.
        total += self._send_back(early)
        session.return_held([delivery.tag for delivery in deliveries])
        self.forward()
        return total

    def _send_back(self, deliveries: Sequence[Delivery]) -> int:
        """End leases whose messages RabbitMQ has no more, with their messages in the outbox; how many were held."""
        entries = [Outgoing.of(Publish("", one.queue, 0, one.payload)).packed() for one in deliveries]
        return sum(map(self.state.messages.take_acked, deliveries, entries))

    def stop_waiting(self, worker: str) -> None:
        self.release_prefetched(worker)

    def release_prefetched(self, worker: str) -> int:
        session = self.sessions.get(worker)
        return session.return_buffered() if session is not None else 0

    def beat(self, worker: str) -> None:
        """Keep a worker's channel, and the ids of the messages that it holds, alive, and detach what it has held for
        long."""
        session = self.sessions.get(worker)
        if session is None:
            return
        session.beat()
        held = dict(session.held)
        self.state.messages.renew([one.message_id for one in held.values()] + list(self.detached.values()))
        limit = time.monotonic() - self._detach_after
        old = {tag: one for tag, one in held.items() if one.since < limit}
        if old:
            self._detach(session, worker, old)

    def _detach(self, session: Session, worker: str, old: Mapping[str, Held]) -> None:
        """Ack messages whose tasks run on, and leave them to the state alone. RabbitMQ closes a channel that has held a
        message for longer than its ``consumer_timeout``."""
        self.state.messages.detach(worker, list(old))
        acks = []
        for tag, one in old.items():
            if session.held.pop(tag, None) is not None:
                self.detached[tag] = one.message_id
                acks.append(one)
        session.exchange((), acks, (), (), 0)

    def attach(self, worker: str, tags: Iterable[str]) -> None:
        """Forget what was detached of leases that have ended."""
        ended = [tag for tag in tags if self.detached.pop(tag, None) is not None]
        if ended:
            self.state.messages.attach(worker, ended)

    def drop_session(self, worker: str) -> None:
        """Return to their queues what a worker of this process holds, and close its channel."""
        with self._lock:
            session = self.sessions.pop(worker, None)
            for tag in [tag for tag in self.detached if worker_of_tag(tag) == worker]:
                del self.detached[tag]
        if session is not None:
            session.return_all()
            session.close()

    # -- delayed messages

    def enqueue_due(self, limit: int) -> int:
        moved = self.state.broker.enqueue_due(limit)
        self.forward()
        return moved

    def next_due(self) -> float | None:
        return self.state.broker.next_due()

    def close(self) -> None:
        for worker in list(self.sessions):
            session = self.sessions.pop(worker)
            session.close()
        self._publisher.close()
        self.topology.close()
        self.state.broker.close()
