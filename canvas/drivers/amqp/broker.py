"""Queues in RabbitMQ, whose leases are kept by a state server (docs/decisions/0014)."""

import asyncio
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from itertools import count

from canvas.drivers.amqp.channels.connecting import connect
from canvas.drivers.amqp.channels.consumer_channel import Arrived, Held
from canvas.drivers.amqp.channels.link import Blockage, Link
from canvas.drivers.amqp.channels.publisher import Publication, Publisher
from canvas.drivers.amqp.channels.session import Session
from canvas.drivers.amqp.channels.waking import Wake, readable
from canvas.drivers.amqp.contents import Outgoing, deliveries_of, due_of, to_content, to_payload
from canvas.drivers.amqp.delays.celery_ladder import CeleryLadder
from canvas.drivers.amqp.delays.queues import DelayQueues
from canvas.drivers.amqp.local.holding import hold_anew
from canvas.drivers.amqp.options import AmqpOptions
from canvas.drivers.amqp.outboxes import Destinations, Outboxes
from canvas.drivers.amqp.topology import Topology
from canvas.drivers.amqp.url import Address
from canvas.drivers.kombu_envelope import ENVELOPE
from canvas.drivers.ports.codec import MessageCodec
from canvas.drivers.ports.message_state import Arrival, StateParts
from canvas.drivers.ports.values import Lease, LeaseReply
from canvas.drivers.retry_policy import Delays, tried
from canvas.drivers.tags import tag_of, worker_of_tag
from canvas.errors import OperationalError
from canvas.forks import in_forks
from canvas.model.message import Delivery, Publish
from canvas.model.queue import Queue

NO_LEASE = LeaseReply([], 0, 0.0)
_ONCE_MORE = (0.1,)
"""Seconds before a copy of a message is published again, while its worker takes no other messages."""


class AmqpBroker:
    """The Broker of ``canvas.drivers.ports`` except for its half of a settlement (``AmqpSettler``)."""

    codec: MessageCodec = ENVELOPE
    round_robin = True
    shares_waits = False

    def __init__(self, addresses: Sequence[Address], options: AmqpOptions, state: StateParts) -> None:
        self.addresses = addresses
        self.options = options
        self.where, self.timeout = addresses[0].where, options.answer_within
        self.state = state
        self.durable = state.messages.durable
        """Whether leases and outboxes outlive this process."""
        self.before_publishing: Callable[[], object] = lambda: None
        """Called before a client's messages are published."""
        self.broken: Callable[[], object] = lambda: None
        """Called when the channel of a worker is lost."""
        self.topology = Topology(lambda: connect(addresses, self.timeout), self.where)
        self._clock_offset = 0.0
        """Seconds by which the clock of the state server is ahead of this machine's."""
        self._ladder = CeleryLadder(self.topology, options.delayed_queue_type)
        self._delays = DelayQueues(self.topology, state.messages.note_delay_queue)
        self.destinations = Destinations(self.topology, self._delays, self._now)
        self._blockage = Blockage()
        self.publisher = Publisher(lambda: self.link(heartbeat=False), self.destinations)
        self.outboxes = Outboxes(state, self.publisher, self.destinations)
        self.sessions: dict[str, Session] = {}
        self._lock = threading.Lock()
        self._numbers = count(1)
        self._detach_after = options.consumer_timeout / 2
        self.detached: dict[str, str] = {}
        """By tag, the ids of messages that workers of this process have and RabbitMQ has not."""
        self._wake = Wake()
        in_forks(self._disinherit)

    def link(self, heartbeat: bool) -> Link:
        """A new channel, on a connection of its own."""
        return Link(connect(self.addresses, self.timeout, heartbeat), self.where, self.timeout, self._blockage)

    def _disinherit(self) -> None:
        sessions, self.sessions, self.detached = self.sessions, {}, {}
        for session in sessions.values():
            session.disinherit()
        self.publisher.forget()
        self.topology.forget()
        self.outboxes.disinherit()
        self._delays.disinherit()
        self._lock, self._wake = threading.Lock(), Wake()

    def session(self, worker: str) -> Session:
        """The channel of a worker."""
        with self._lock:
            found = self.sessions.get(worker)
            if found is None:
                connect = partial(self.link, heartbeat=True)
                found = Session(connect, self.topology, self.durable, self.broken)
                self.sessions[worker] = found
            return found

    def _now(self) -> float:
        """Unix time by the clock of the state server."""
        return time.time() + self._clock_offset

    def check(self) -> None:
        self.topology.check()
        self.state.check()

    def declare(self, queues: Sequence[Queue]) -> None:
        self.topology.declare(queues)
        self.topology.refuse_streams(queues)
        self._ladder.serve(queues)

    def publish(self, messages: Sequence[Publish], delays: Delays = None) -> None:
        self.publisher.publish(tried(lambda: self._publications(messages), delays), delays)

    async def apublish(self, messages: Sequence[Publish], delays: Delays = None) -> None:
        await asyncio.to_thread(self.publish, messages, delays)

    def _publications(self, messages: Iterable[Publish]) -> list[Publication]:
        self.before_publishing()
        found = []
        for message in messages:
            if self.destinations.exists(message):
                content = to_content(message.payload)
                self.topology.check_size(len(content.body))
                address = self._ladder.address(message, content.properties.get("application_headers") or {})
                found.append(Publication(*address, content))
        return found

    def lease(self, request: Lease) -> list[Delivery]:
        session = self.session(request.worker)
        _, arrived = session.exchange((), (), (), request.queues, request.limit)
        self.take_in(session, request.worker, arrived)
        return self.register(session, request.worker).deliveries

    def take_in(self, session: Session, worker: str, arrived: Sequence[Arrived]) -> None:
        """Note the messages that the broker has delivered. ``register`` leases them."""
        early: list[tuple[Outgoing, Held]] = []
        for one in arrived:
            copied_to = one.queue if one.exchange else ""
            payload, message_id, own_id = to_payload(one.content, one.exchange, one.routing_key, copied_to)
            held = Held(one.link, one.number, message_id, one.at)
            due = due_of(one.content)
            if due > self._now():
                early.append((Outgoing(message_id, "", one.queue, payload, due), held))
                continue
            delivery = Delivery(tag_of(worker, next(self._numbers)), one.queue, payload, one.at)
            session.unregistered.append(
                (Arrival(delivery, message_id, deliveries_of(one.content, one.redelivered), own_id), held)
            )
        if early:
            # They are delayed again, for the rest of their time.
            self._exchange_copies(session, early)

    def _exchange_copies(self, session: Session, copies: Sequence[tuple[Outgoing, Held]]) -> None:
        """Publish copies of messages, and ack the originals once RabbitMQ has confirmed the copies. If RabbitMQ is
        killed during a transaction, it may keep the acks and lose the copies. Raises OperationalError; RabbitMQ may
        then have both the original and the copy."""
        originals = [held for _, held in copies]
        try:
            self.publisher.publish(self.destinations.copies(outgoing for outgoing, _ in copies), _ONCE_MORE)
        except OperationalError:
            self.destinations.forget()
            session.exchange((), (), originals, (), 0)
            raise
        session.exchange((), originals, (), (), 0)

    def register(self, session: Session, worker: str) -> LeaseReply:
        """Lease the messages that were taken in. Raises BrokerError; the next call then leases them."""
        waiting = list(session.unregistered)
        if not waiting:
            return NO_LEASE
        leased = self.state.messages.register(worker, [arrival for arrival, _ in waiting])
        self._clock_offset = leased.clock_offset
        del session.unregistered[: len(waiting)]
        tags = {delivery.tag for delivery in leased.deliveries}
        session.held.update((arrival.delivery.tag, held) for arrival, held in waiting if arrival.delivery.tag in tags)
        to_renew = {
            delivery.tag for (delivery, _, times, _), _ in waiting
            if times and (not self.durable or times >= self.topology.most_deliveries(delivery.queue))
        }  # fmt: skip
        if to_renew:
            leased = self._renewed(session, leased, to_renew & tags)
        settled = [held for arrival, held in waiting if arrival.delivery.tag not in tags]
        if settled:
            try:
                session.exchange((), settled, (), (), 0)
            except OperationalError:
                return leased  # RabbitMQ delivers them again, and they are found settled then
        return leased

    def _renewed(self, session: Session, leased: LeaseReply, to_renew: Collection[str]) -> LeaseReply:
        """Put copies of some messages, whose headers count the deliveries, into their queues: RabbitMQ does not count
        for classic queues, and drops a message of a quorum queue that it has delivered too often."""
        renewed = [one for one in leased.deliveries if one.tag in to_renew]
        copies = [(Outgoing.of(Publish("", one.queue, 0, one.payload)), session.held.pop(one.tag)) for one in renewed]
        self._exchange_copies(session, copies)
        self.state.messages.release(renewed)
        return leased._replace(deliveries=[one for one in leased.deliveries if one.tag not in to_renew])

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
        self.outboxes.forward()
        return total

    def _send_back(self, deliveries: Sequence[Delivery]) -> int:
        """End leases of messages that RabbitMQ does not have, and put these messages into the outbox. Returns their
        number."""
        entries = [Outgoing.of(Publish("", one.queue, 0, one.payload)).packed() for one in deliveries]
        return sum(map(self.state.messages.take_acked, deliveries, entries))

    def stop_waiting(self, worker: str) -> None:
        self.release_prefetched(worker)

    def release_prefetched(self, worker: str) -> int:
        session = self.sessions.get(worker)
        return session.return_buffered() if session is not None else 0

    def beat(self, worker: str) -> None:
        """Keep a worker's channel, and the ids of the messages that it holds, alive, and detach messages that it has
        held for long."""
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
        if not self.durable:
            leases = [one for one in self.state.recovery.leases(worker) if one.tag in old]
            return hold_anew(session, self.topology, worker, leases)
        self.state.messages.detach(worker, list(old))
        acks = []
        for tag, one in old.items():
            if session.held.pop(tag, None) is not None:
                self.detached[tag] = one.message_id
                acks.append(one)
        session.exchange((), acks, (), (), 0)

    def attach(self, worker: str, tags: Iterable[str]) -> None:
        """Delete the detached tags of leases that have ended."""
        ended = [tag for tag in tags if self.detached.pop(tag, None) is not None]
        if ended:
            self.state.messages.attach(worker, ended)

    def drop_session(self, worker: str) -> None:
        """Return the messages that a worker of this process holds to their queues, and close its channel."""
        with self._lock:
            session = self.sessions.pop(worker, None)
            for tag in [tag for tag in self.detached if worker_of_tag(tag) == worker]:
                del self.detached[tag]
        if session is not None:
            session.return_all()
            session.close()

    def enqueue_due(self, limit: int) -> int:
        return 0  # RabbitMQ moves delayed messages into their queues

    def next_due(self) -> float | None:
        return None

    def close(self) -> None:
        for worker in list(self.sessions):
            self.sessions.pop(worker).close()
        self.publisher.close()
        self.topology.close()
        self.state.close()
